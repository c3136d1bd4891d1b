// A TF.js graph model (compiled operations) → the chain of convolutions in it, as of a layers model.
// export/importers/tfjs_graph.py reads them in the same way. TensorFlow computes a dilated convolution as SpaceToBatchND, Conv3D without
// padding and BatchToSpaceND; the block is the dilation. A norm is one factor and one offset per channel, which are folded into the
// convolution. An activation may be several operations: they are computed on sample values (graph-activation.ts).
import { activationOf, ELEMENTWISE, SAMPLE } from './graph-activation';
import { record, show, TfjsImportError } from './topology';
import type { KerasGroup, Topology } from './topology';
import type { Weight } from './weights';

type Json = Readonly<Record<string, unknown>>;

interface Node {
  readonly name: string;
  readonly op: string;
  /** Names of the tensors that it takes, without control inputs and output numbers. */
  readonly inputs: readonly string[];
  readonly attr: Json;
}

interface Layer {
  readonly name: string;
  readonly kernelSize: 1 | 3;
  readonly dilation: number;
  readonly channels: number;
  readonly shape: readonly number[];
  /** [kd][kh][kw][in][out] */
  kernel: Float32Array;
  bias: Float32Array;
  activation: string;
}

const PASS = ['Identity', 'StopGradient', 'PreventGradient'];
/** Operations after the classifier that don't change which class is largest. */
const TAIL = ['Softmax', 'LogSoftmax', 'ArgMax', 'Squeeze', 'Cast'];

export function isGraphModel(model: Json): boolean {
  return model.format === 'graph-model' || record(model.modelTopology).node !== undefined;
}

/** The chain in a graph model; `constants` are replaced by the kernel and bias of each convolution. Throws TfjsImportError, which names
 * the operation, for everything that a MeshNet can't express. */
export function readGraphModel(model: Json, constants: Map<string, Weight>, where: string): Topology {
  const layers = new Graph(record(model.modelTopology).node, constants, where).layers();
  if (layers.length < 2) throw new TfjsImportError(`${where}: has ${layers.length} convolutions, expected layers and a classifier`);
  constants.clear();
  const groups = layers.map(({ name, shape, kernel, bias, channels, kernelSize, dilation, activation }): KerasGroup => {
    constants.set(`${name}/kernel`, { shape, values: kernel });
    constants.set(`${name}/bias`, { shape: [channels], values: bias });
    return { conv: { name, filters: channels, kernelSize, dilation, useBias: true }, batchNorm: null, activation };
  });
  return { name: 'model', inChannels: 1, groups, notes: [] };
}

class Graph {
  private readonly nodes: ReadonlyMap<string, Node>;
  private readonly users = new Map<string, Node[]>();
  private readonly constants: ReadonlyMap<string, Weight>;
  private readonly where: string;

  constructor(nodes: unknown, constants: ReadonlyMap<string, Weight>, where: string) {
    [this.constants, this.where] = [constants, where];
    this.nodes = new Map((Array.isArray(nodes) ? (nodes as unknown[]) : []).map(record).map((node): [string, Node] => {
      const inputs = (Array.isArray(node.input) ? (node.input as unknown[]) : []).map(String).filter((name) => !name.startsWith('^'));
      return [String(node.name), { name: String(node.name), op: String(node.op), inputs: inputs.map((name) => name.split(':')[0]!), attr: record(node.attr) }];
    }));
    for (const node of this.nodes.values()) {
      if (node.op === 'Shape') continue; // computes the padding of a volume of any size
      for (const name of new Set(node.inputs)) this.users.set(name, [...(this.users.get(name) ?? []), node]);
    }
  }

  /** The convolutions in order, with what follows each of them folded in. */
  layers(): Layer[] {
    const places = [...this.nodes.values()].filter(({ op }) => op === 'Placeholder');
    if (places.length !== 1) throw new TfjsImportError(`${this.where}: has ${places.length} inputs, expected one, a whole volume`);
    this.checkInput(places[0]!);
    const layers: Layer[] = [];
    let x = places[0]!.name;
    let block: number | null = null;
    for (;;) {
      const [node, ...others] = this.users.get(x) ?? [];
      if (node === undefined) return layers;
      const last = layers.at(-1);
      const isAlone = others.length === 0;
      if (isAlone && PASS.includes(node.op)) {
        x = node.name;
      } else if (node.op === 'SpaceToBatchND') {
        block = this.block(node);
        this.checkBeginnings(node, block);
        x = node.name;
      } else if (node.op === 'Conv3D') {
        layers.push(this.convolution(node, block));
        x = node.name;
      } else if (node.op === 'BatchToSpaceND') {
        if (this.block(node) !== block) throw this.refusal(node, `has another block than the SpaceToBatchND before it, ${block}`);
        this.checkBeginnings(node, 0);
        [block, x] = [null, node.name];
      } else if (last?.activation === 'linear' && isAlone && this.fold(last, node, x)) {
        x = node.name;
      } else if (TAIL.includes(node.op) && isAlone && last?.kernelSize === 1) {
        return layers;
      } else if (last?.activation !== 'linear') {
        throw this.refusal(node, 'is not part of a MeshNet; expected Conv3D, a norm or an activation after it');
      } else {
        [last.activation, x] = this.activation(x);
      }
    }
  }

  private checkInput({ attr }: Node): void {
    const dims = record(record(attr.shape).shape).dim;
    const sizes = (Array.isArray(dims) ? (dims as unknown[]) : []).map((dim) => Number(record(dim).size ?? -1));
    if (sizes.length !== 5 || sizes.slice(1, 4).some((n) => n !== -1 && n !== 256)) {
      throw new TfjsImportError(`${this.where}: input shape ${show(sizes)}, expected [-1, 256, 256, 256, 1], a whole volume`);
    }
    if (sizes[4] !== 1) throw new TfjsImportError(`${this.where}: takes ${sizes[4]} input channels; this page gives a model one scan`);
  }

  private convolution(node: Node, block: number | null): Layer {
    const kernel = this.constants.get(node.inputs[1]!);
    if (kernel?.shape.length !== 5) throw this.refusal(node, 'computes its kernel; expected weights that the model holds');
    const numbers = (name: string): number[] => {
      const list = record(record(node.attr[name]).list).i;
      return Array.isArray(list) ? list.map(Number) : [1];
    };
    const [strides, dilations] = [numbers('strides'), numbers('dilations')];
    const [layout, padding] = [textOf(node, 'data_format'), textOf(node, 'padding')];
    if (strides.some((n) => n !== 1) || !['', 'NDHWC'].includes(layout)) throw this.refusal(node, `has strides ${show(strides)} and layout ${layout}; expected 1 and NDHWC`);
    const own = dilations[1] ?? 1;
    if (dilations.slice(1, 4).some((n) => n !== own) || (block !== null && own !== 1)) throw this.refusal(node, `has dilations ${show(dilations)}; expected the same along each axis`);
    const size = kernel.shape[0]!;
    if (kernel.shape.slice(0, 3).some((n) => n !== size) || (size !== 1 && size !== 3)) throw this.refusal(node, `has kernel ${show(kernel.shape)}; expected 3×3×3, or 1×1×1 for the classifier`);
    if (size !== 1 && padding !== (block === null ? 'SAME' : 'VALID')) throw this.refusal(node, `has padding ${padding}; expected an output as large as the input`);
    const channels = kernel.shape[4]!;
    return { name: node.name, kernelSize: size, dilation: block ?? own, channels, shape: kernel.shape, kernel: kernel.values.slice(), bias: new Float32Array(channels), activation: 'linear' };
  }

  private block(node: Node): number {
    const values = this.constants.get(node.inputs[1]!)?.values;
    if (values?.length !== 3 || values.some((n) => n !== values[0])) throw this.refusal(node, 'has no fixed block that is the same along each axis');
    return values[0]!;
  }

  /** Throws unless each axis is padded or cropped at its beginning by `expected` voxels. */
  private checkBeginnings(node: Node, expected: number): void {
    const pairs = this.constants.get(node.inputs[2]!)?.values;
    // For a volume of any size the ends are computed, the beginnings are constants.
    const packed = (this.nodes.get(node.inputs[2]!)?.inputs ?? []).map((name) => {
      const pack = this.nodes.get(name);
      return pack?.op === 'Pack' ? this.constants.get(pack.inputs[0]!)?.values[0] : this.constants.get(name)?.values[0];
    });
    const found = pairs === undefined ? packed : [pairs[0], pairs[2], pairs[4]];
    if (found.length !== 3 || found.some((n) => n !== expected)) throw this.refusal(node, `begins with ${show(found)} voxels along the axes; expected ${expected} along each`);
  }

  /** Folds a factor, an offset or a norm per channel into the layer; false if the node is something else. */
  private fold(layer: Layer, node: Node, x: string): boolean {
    const others = node.inputs.filter((name) => name !== x);
    const arrays = others.flatMap((name) => {
      const held = this.constants.get(name);
      return held !== undefined && held.shape.length > 0 && held.values.length === layer.channels ? [held.values] : [];
    });
    const [first, second, mean, variance] = arrays;
    if (first === undefined || arrays.length !== others.length) return false;
    const scale = (factors: ArrayLike<number>): void => {
      layer.kernel = layer.kernel.map((w, n) => w * factors[n % layer.channels]!);
      layer.bias = layer.bias.map((b, n) => b * factors[n]!);
    };
    const shift = (offsets: ArrayLike<number>): void => { layer.bias = layer.bias.map((b, n) => b + offsets[n]!); };
    if (/^FusedBatchNorm(V2|V3)?$/.test(node.op) && second !== undefined && mean !== undefined && variance !== undefined) {
      const factors = Array.from(first, (gamma, n) => gamma / Math.sqrt(variance[n]! + Number(record(node.attr.epsilon).f ?? 1e-4)));
      scale(factors);
      shift(Array.from(second, (beta, n) => beta - mean[n]! * factors[n]!));
    } else if (['BiasAdd', 'Add', 'AddV2'].includes(node.op)) {
      shift(first);
    } else if (node.op === 'Mul') {
      scale(first);
    } else if (node.op === 'Sub' && node.inputs[0] === x) {
      shift(first.map((value) => -value));
    } else {
      return false;
    }
    return true;
  }

  /** The activation that starts at tensor `x`, and the tensor that it gives. */
  private activation(x: string): [string, string] {
    const values = new Map<string, ArrayLike<number>>([[x, SAMPLE]]);
    const done = new Set<Node>();
    const usersOf = (name: string): readonly Node[] => this.users.get(name) ?? [];
    const scalar = (name: string): number | undefined => {
      const held = this.constants.get(name)?.values;
      return held?.length === 1 ? held[0] : undefined;
    };
    for (;;) {
      const waiting = [...values.keys()].flatMap(usersOf).filter((node) => !done.has(node));
      const node = waiting.find(({ inputs }) => inputs.every((name) => values.has(name) || scalar(name) !== undefined));
      const compute = node === undefined ? undefined : ELEMENTWISE[node.op];
      if (node === undefined || compute === undefined) throw this.refusal(usersOf(x)[0]!, 'starts no activation of a MeshNet: relu, elu (alpha 1), gelu');
      const made = SAMPLE.map((_, n) => compute(node.inputs.map((name) => values.get(name)?.[n] ?? scalar(name)!), Number(record(node.attr.alpha).f ?? NaN)));
      values.set(node.name, made);
      done.add(node);
      const before = [...values.keys()].filter((name) => name !== node.name).flatMap(usersOf);
      const found = before.every((user) => done.has(user)) ? activationOf(made) : null;
      if (found !== null) return [found, node.name];
    }
  }

  private refusal(node: Node, why: string): TfjsImportError {
    return new TfjsImportError(`${this.where}: ${node.op} "${node.name}" ${why}`);
  }
}

/** A string attribute, which the file has in base64. */
function textOf(node: Node, name: string): string {
  const { s } = record(node.attr[name]);
  return typeof s === 'string' ? atob(s) : '';
}
