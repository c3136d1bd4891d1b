// The list of models: those of the server's catalogue, those a visitor dropped, and why others are broken.
import type { ModelSource } from '../../model/source';
import type { ModelSpec } from '../../generated/model-spec';
import { contextIndices, shownIndices } from '../../volume/label-roles';
import { sourceOf } from './catalogue';
import type { BrokenModel, Catalogue, ListedLabel, UsableModel } from './catalogue';
import { listOr, read, t } from '../texts/language';
import { say } from '../texts/message';
import type { Message, Text } from '../texts/message';
import { byId, byTestId, element, inItsLanguage } from './dom';
import { formatBytes } from './format';

/** A model that can be run, wherever it comes from. */
export interface ListedModel {
  readonly key: string;
  readonly name: Text;
  readonly modality: readonly string[];
  readonly facts: readonly Text[];
  readonly card: string | null;
  /** Address of a small picture; null where the model has none. */
  readonly picture: string | null;
  /** The labels that are shown at first, such as the lesion. */
  readonly finds: readonly ListedLabel[];
  /** The labels that are layers around them: the tissue of a joint model. */
  readonly around: readonly ListedLabel[];
  readonly source: ModelSource;
}

export interface ModelList {
  readonly usable: readonly ListedModel[];
  readonly broken: readonly BrokenModel[];
  /** Text of the list while no model is usable. */
  readonly placeholder: Text;
}

/** The list and the key picked from it. */
export interface Picked {
  readonly models: ModelList;
  readonly pickedKey: string | null;
}

/** The list with the models of the catalogue; the model of the visit before (`lastKey`) or the default one is picked unless another is. */
export function withCatalogue({ models, pickedKey }: Picked, catalogue: Catalogue, lastKey: string | null = null): Picked {
  const usable = catalogue.models.filter((model): model is UsableModel => model.broken === null);
  const broken = catalogue.models.filter((model): model is BrokenModel => model.broken !== null);
  return {
    models: { usable: [...models.usable, ...usable.map(fromCatalogue)], broken, placeholder: say('model.none') },
    pickedKey: pickedKey ?? usable.find((model) => model.id === lastKey)?.id ?? usable.find((model) => model.default)?.id ?? usable[0]?.id ?? null,
  };
}

/** The list with a visitor's own model, which is picked. */
export function withDropped({ models }: Picked, spec: ModelSpec, source: ModelSource, notes: readonly string[]): Picked {
  const key = `dropped ${spec.weights.sha256}`;
  const dropped: ListedModel = {
    key,
    name: say('model.dropped', { name: spec.name }),
    modality: spec.modality,
    facts: [spec.description, say('model.droppedFacts', { task: spec.task, n: spec.labels.length }), ...notes],
    card: null,
    picture: null,
    ...findsOf(spec.labels),
    source,
  };
  return { models: { ...models, usable: [dropped, ...models.usable.filter((model) => model.key !== key)] }, pickedKey: key };
}

function fromCatalogue(model: UsableModel): ListedModel {
  const scans = scansText(model.modality);
  const task = `${model.task.charAt(0).toUpperCase()}${model.task.slice(1)}`;
  return {
    key: model.id,
    name: model.name,
    modality: model.modality,
    facts: [
      model.description,
      say('model.facts', { task, scans, parameters: model.parameters, bytes: () => formatBytes(model.bytes), licence: model.license }),
    ],
    card: model.card,
    picture: model.picture,
    ...findsOf(model.labels),
    source: sourceOf(model),
  };
}

function findsOf(labels: readonly ListedLabel[]): Pick<ListedModel, 'finds' | 'around'> {
  const shown = shownIndices({ labels });
  const context = contextIndices({ labels });
  return { finds: labels.filter(({ index }) => shown.includes(index)), around: labels.filter(({ index }) => context.includes(index)) };
}

/** The scans that a model is made for. */
export function scansText(modality: readonly string[]): Message {
  return modality.length > 0 ? say('model.forModality', { modality: () => listOr(modality) }) : say('model.forAny');
}

export function showModelList({ usable, broken, placeholder }: ModelList): void {
  const select = byTestId('model', HTMLSelectElement);
  select.replaceChildren(...(usable.length === 0 ? [new Option(read(placeholder), '')] : usable.map(({ key, name }) => new Option(read(name), key))));
  select.disabled = usable.length === 0;
  const box = byId('broken', HTMLDetailsElement);
  box.hidden = broken.length === 0;
  box.querySelector('summary')!.textContent = t('model.broken', { n: broken.length });
  box.querySelector('ul')!.replaceChildren(...broken.map(({ name, broken: reason }) => element('li', `${name}: ${reason}`)));
}

/** Marks the picked model in the list and shows its facts. */
export function showPickedModel(model: ListedModel | null): void {
  byTestId('model', HTMLSelectElement).value = model?.key ?? '';
  const box = byId('model-facts', HTMLDivElement);
  box.replaceChildren(...(model?.facts ?? []).filter((fact) => fact !== '').map((fact) => inItsLanguage(element('p', read(fact)), fact)));
  if (model?.card == null) return;
  const line = element('p');
  const link = element('a', t('model.card'));
  link.href = model.card;
  link.target = '_blank';
  link.rel = 'noopener';
  line.append(link);
  box.append(line);
}
