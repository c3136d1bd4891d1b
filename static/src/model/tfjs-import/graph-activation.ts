// Recognises an activation by its values, however many operations of a graph model compute it.
// export/importers/onnx_activation.py has the same samples and limits.

/** Values at which activations are compared; erf and tanh form of gelu differ by up to 5e-4 between them. */
export const SAMPLE: readonly number[] = Array.from({ length: 241 }, (_, n) => -6 + n / 20);
const TOLERANCE = 2e-5;

/** Abramowitz and Stegun 7.1.26; error below 1.5e-7. */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-x * x);
  return x < 0 ? tail - 1 : 1 - tail;
}

const elu = (x: number, alpha = 1): number => (x > 0 ? x : alpha * Math.expm1(x));

/** Keras' names, which the import knows. */
const ACTIVATIONS: Readonly<Record<string, (x: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  elu: (x) => elu(x),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  gelu_new: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

type Operation = (operands: readonly number[], alpha: number) => number;
const of = (compute: (a: number, b: number) => number): Operation => ([a, b]) => compute(a!, b!);

/** Operations of TensorFlow of which an activation may consist. */
export const ELEMENTWISE: Readonly<Record<string, Operation>> = {
  Relu: of((x) => Math.max(x, 0)),
  Elu: ([x], alpha) => elu(x!, Number.isNaN(alpha) ? 1 : alpha),
  Sigmoid: of((x) => 1 / (1 + Math.exp(-x))),
  Tanh: of(Math.tanh),
  Erf: of(erf),
  Erfc: of((x) => 1 - erf(x)),
  Neg: of((x) => -x),
  Square: of((x) => x * x),
  Add: of((a, b) => a + b),
  AddV2: of((a, b) => a + b),
  Sub: of((a, b) => a - b),
  Mul: of((a, b) => a * b),
  RealDiv: of((a, b) => a / b),
  Pow: of((a, b) => a ** b),
  Maximum: of(Math.max),
};

/** Keras' name of the activation that turns SAMPLE into `values`; null if there is none. */
export function activationOf(values: readonly number[]): string | null {
  const isLike = (activation: (x: number) => number): boolean => values.every((value, n) => Math.abs(value - activation(SAMPLE[n]!)) <= TOLERANCE);
  return Object.entries(ACTIVATIONS).find(([, activation]) => isLike(activation))?.[0] ?? null;
}
