"""The settings of a training run as dataclasses. config.py composes them from `meshnet/conf` and the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshnet.model.spec import BatchNorm, GroupNorm, NoNorm
from meshnet.synth.draw import SynthConfig

#: Normalisation of a MeshNet by the values of `model.norm`.
NORMS: dict[str, NoNorm | BatchNorm | GroupNorm] = {
    "none": NoNorm(),
    "batch": BatchNorm(),
    "group": GroupNorm(affine=True),
}


class ConfigError(ValueError):
    """Settings that can't be run; the message names the key and the values it takes."""


@dataclass
class ModelConfig:
    """kind: `meshnet`, or the name of a baseline of the paper's Table 1; the other keys are for MeshNet only.

    init_from: model folder to start from, empty for random weights. init_sha256: SHA-256 that its weights file must
    have, empty for any. new_classifier: take the layers of `init_from` only, and start with a random classifier.
    """

    kind: str = "meshnet"
    channels: int = 5
    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 16, 8, 4, 2])
    activation: str = "relu"
    norm: str = "batch"
    init_from: str = ""
    init_sha256: str = ""
    new_classifier: bool = False


@dataclass
class Stage:
    """Synthetic training: `steps` steps on patches of `size` voxels, their voxel size drawn uniformly between the two
    values of `voxel_size_mm`."""

    steps: int = 1000
    size: list[int] = field(default_factory=lambda: [96, 96, 96])
    voxel_size_mm: list[float] = field(default_factory=lambda: [1.0, 1.0])


@dataclass
class DataConfig:
    """Where training items come from.

    For every source:
        source: `prepared` (a folder of meshnet-prepare), `synth` (heads rendered from templates during training) or
            `synth_heads` (heads rendered from label maps).
        labels: names of the labels in order, the background first. modality: contrasts that the model is made for.
            Both go into `model.json`.
        orientation: of the arrays that the network sees, also written into `model.json`.
        workers: processes that load or render items beside the training process (0: none; None: the cores less one
            where a GPU trains, none on a CPU). prefetch: items that each of them loads ahead.

    For `prepared`:
        folder: of meshnet-prepare. inner_fold: the inner fold to validate on (None: no validation). synthetic_share:
            share of the steps on heads rendered by the settings of `synth_heads`, beside the cases of the folder. With
            more labels than background and lesion, the folder's cases teach the last one, the lesion, and leave the
            tissue open.

    For `synth` and `synth_heads`:
        task: the labels to draw. `synth`: `lesion` or `tissue`; `synth_heads`: `tissue-lesion`, `lesion`, `tissue`,
            `brain` or `deep`.
        lesions: folder of lesion masks in MNI space (*.nii.gz) or a packed file of them (*.npz), required by the tasks
            with a lesion; for `synth_heads` a list of these. held_out: JSON file whose `lesions` are never drawn (none
            where it is empty).
        lesion_probability: share of the heads with a lesion. lesion_size_power: a mask is drawn with a probability
            proportional to its size to this power (0: all with the same probability).
        contrasts: weight of each contrast. stages: patches, one stage after the other.
        outside_texture: largest s.d. of the logarithm of a smooth factor on all that lies outside the brain.
        margin_mm: how far a patch may lie beyond the head. validation_subjects: heads rendered for validation.
        cache: folder for prepared templates, heads and masks.

    For `synth` only:
        templates: folder of Colin27 (Debian's `mricron-data`). sulci_probability: share of the heads with widened
            sulci; sulci: largest widening, in times the template's own fluid. eye_of_fluid: range of the eyes'
            brightness in T2w, as a share of the fluid's.

    For `synth_heads` only:
        anatomies: folder of label maps, or of packed heads. rotation_deg: largest tilt about the left-right axis.
            stripped_probability: share of skull-stripped heads. device: where heads are rendered, `cpu` or `cuda`.
    """

    source: str = "prepared"
    folder: str = ""
    inner_fold: int | None = None
    synthetic_share: float = 0.0
    task: str = "lesion"
    labels: list[str] = field(default_factory=lambda: ["background", "lesion"])
    modality: list[str] = field(default_factory=lambda: ["T2w"])
    orientation: str = "LIA"
    templates: str = "/usr/share/mricron/templates"
    anatomies: str = ""
    lesions: Any = ""
    held_out: str = ""
    cache: str = "runs/cache"
    contrasts: dict[str, float] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    lesion_probability: float = SynthConfig.lesion_probability
    lesion_size_power: float = 0.5
    sulci_probability: float = SynthConfig.sulci_probability
    sulci: float = SynthConfig.sulci
    outside_texture: float = SynthConfig.outside_texture
    eye_of_fluid: list[float] = field(default_factory=lambda: list(SynthConfig.eye_of_fluid))
    rotation_deg: float = 30.0
    stripped_probability: float = 0.12
    device: str = "cpu"
    margin_mm: float = 8.0
    validation_subjects: int = 8
    workers: int | None = None
    prefetch: int = 4


@dataclass
class OptimizerConfig:
    """kind: `adamw`, or `muon` (Muon for hidden convolutions at rate `muon_lr`, AdamW for the rest; optimizer.py)."""

    kind: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 3e-5
    eps: float = 1e-4
    muon_lr: float = 0.02


@dataclass
class ScheduleConfig:
    """OneCycleLR: starts at lr / div_factor, reaches lr after the fraction `warmup` of all steps, ends at
    lr / div_factor / final_div."""

    warmup: float = 0.01
    div_factor: float = 100.0
    final_div: float = 1e4


@dataclass
class LossConfig:
    """Cross-entropy with label smoothing and class weights, plus `dice` times the soft Dice loss.

    dice_offset_voxels: added to numerator and denominator of soft Dice; patches without the class, and lesions much
    smaller than the offset, then have little influence.
    """

    label_smoothing: float = 0.01
    class_weights: list[float] = field(default_factory=lambda: [0.5, 1.0])
    dice: float = 0.0
    dice_offset_voxels: float = 200.0


@dataclass
class TrainerConfig:
    """Settings of the training loop.

    epochs: of a prepared data set; synthetic training is as long as its stages.
    batch_size: volumes of one step on each device; the loss is the mean over them, and the number of
        steps is divided by it. More than 1 pays where a step is bound by kernel launches, not by its arithmetic.
    accelerator, devices, nodes, strategy, precision: of Lightning Fabric. precision `auto` is 16-mixed on CUDA, else
        32-true; bfloat16 becomes 32-true on a CPU without AVX-512, which computes it in software.
    checkpoint_activations: recompute activations in the backward pass instead of keeping them; None: where the device's
        memory asks for it (memory.py).
    channels_last: keep tensors as `channels_last_3d`. compile: compile the network with `torch.compile`.
    gradient_clip: largest norm of the gradient; 0: not clipped, as in the paper.
    freeze_norm_after: fraction of the steps after which BatchNorm uses its running statistics.
    threads: of PyTorch on the CPU (0: its default).
    save_every_s: seconds between two saved states. log_every: steps between two lines of the log.
    validate_every: steps between two validations (0: an epoch, or a twentieth of the run where that is shorter).
    tf32: TensorFloat-32 for float32 products on CUDA. cudnn_benchmark: cuDNN tries its convolutions and keeps the
        fastest.
    stop_after_s: the run is finished after these seconds of training, over all calls that resume it, and the learning
        rate's schedule ends with it (0: no limit). Such a run can't be repeated bit by bit.
    stop_at_step: the run is finished after this step, on the schedule of the full length (0: full length).
    ema_decay: decay per step of an exponential moving average of the weights, which is then validated and saved in
        place of the last weights (0: none).
    """

    epochs: int = 50
    batch_size: int = 1
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "auto"
    checkpoint_activations: bool | None = None
    channels_last: bool = True
    compile: bool = False
    gradient_clip: float = 0.0
    freeze_norm_after: float = 1.0
    threads: int = 0
    save_every_s: float = 300.0
    validate_every: int = 0
    tf32: bool = False
    cudnn_benchmark: bool = False
    stop_after_s: float = 0.0
    stop_at_step: int = 0
    ema_decay: float = 0.0
    log_every: int = 10


@dataclass
class TrainConfig:
    """One training run. run: its folder; empty for runs/ID/MODEL/foldF-restartR."""

    id: str = "stroke-lesion"
    name: str = "Stroke lesion MeshNet"
    description: str = ""
    license: str = "unknown"
    run: str = ""
    fold: int = 0
    restart: int = 0
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
