// The model picker: the catalogue's usable models, those a visitor dropped, and why others are broken.
import type { ModelSource } from '../../model/source';
import type { ModelSpec } from '../../generated/model-spec';
import { sourceOf } from './catalogue';
import type { BrokenModel, Catalogue, UsableModel } from './catalogue';
import { byId, byTestId, element } from './dom';
import { formatBytes, formatCount } from './format';

/** A model that can be run, wherever it comes from. */
export interface PickedModel {
  readonly key: string;
  readonly name: string;
  readonly modality: readonly string[];
  readonly facts: readonly string[];
  readonly card: string | null;
  readonly source: ModelSource;
}

export class ModelPicker {
  private readonly select = byTestId('model', HTMLSelectElement);
  private models: PickedModel[] = [];
  onChange: () => void = () => undefined;

  constructor() {
    this.select.addEventListener('change', () => {
      this.showFacts();
      this.onChange();
    });
  }

  get picked(): PickedModel | null {
    return this.models.find(({ key }) => key === this.select.value) ?? null;
  }

  showCatalogue({ models }: Catalogue): void {
    const usable = models.filter((model): model is UsableModel => model.broken === null);
    const broken = models.filter((model): model is BrokenModel => model.broken !== null);
    this.models = [...this.models, ...usable.map(fromCatalogue)];
    this.render(this.picked?.key ?? usable.find((model) => model.default)?.id ?? usable[0]?.id ?? null);
    this.showBroken(broken);
  }

  /** Adds a visitor's own model and picks it. */
  add(spec: ModelSpec, source: ModelSource, notes: readonly string[]): void {
    const key = `dropped ${spec.weights.sha256}`;
    const dropped: PickedModel = {
      key,
      name: `${spec.name} (dropped)`,
      modality: spec.modality,
      facts: [spec.description, `${spec.task}; ${spec.labels.length} labels; yours, not checked by anyone here`, ...notes],
      card: null,
      source,
    };
    this.models = [dropped, ...this.models.filter((model) => model.key !== key)];
    this.render(key);
  }

  /** Says in the picker itself why there is nothing to pick. */
  showEmpty(reason: string): void {
    if (this.models.length === 0) this.select.replaceChildren(new Option(reason, ''));
  }

  private render(picked: string | null): void {
    this.select.replaceChildren(...this.models.map(({ key, name }) => new Option(name, key, false, key === picked)));
    this.select.disabled = this.models.length === 0;
    if (this.models.length === 0) this.showEmpty('No usable model; drop one here');
    this.showFacts();
    this.onChange();
  }

  private showFacts(): void {
    const box = byId('model-facts', HTMLDivElement);
    const model = this.picked;
    box.replaceChildren(...(model?.facts ?? []).filter((fact) => fact !== '').map((fact) => element('p', fact)));
    if (model?.card == null) return;
    const line = element('p');
    const link = element('a', 'Model card');
    link.href = model.card;
    link.target = '_blank';
    link.rel = 'noopener';
    line.append(link);
    box.append(line);
  }

  private showBroken(broken: readonly BrokenModel[]): void {
    const box = byId('broken', HTMLDetailsElement);
    box.hidden = broken.length === 0;
    box.querySelector('summary')!.textContent = `${broken.length === 1 ? 'One model' : `${broken.length} models`} could not be loaded`;
    box.querySelector('ul')!.replaceChildren(...broken.map(({ name, broken: reason }) => element('li', `${name}: ${reason}`)));
  }
}

function fromCatalogue(model: UsableModel): PickedModel {
  const modality = model.modality.length > 0 ? `for ${model.modality.join(' or ')} scans` : 'for any scan';
  return {
    key: model.id,
    name: model.name,
    modality: model.modality,
    facts: [
      model.description,
      `${model.task.charAt(0).toUpperCase()}${model.task.slice(1)}, ${modality}; ${formatCount(model.parameters)} parameters, ${formatBytes(model.bytes)}; licence: ${model.license}`,
    ],
    card: model.card,
    source: sourceOf(model),
  };
}
