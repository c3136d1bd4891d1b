// Activation of one value, chosen by ACTIVATION; all are finite for every finite input.
//#if ACTIVATION == relu
fn activate(v: f32) -> f32 { return max(v, 0.0); }
//#end
//#if ACTIVATION == elu
fn activate(v: f32) -> f32 { return select(exp(min(v, 0.0)) - 1.0, v, v > 0.0); }
//#end
//#if ACTIVATION == gelu
// v · Φ(v), Φ(v) = erfc(−v/√2)/2 by Abramowitz & Stegun 7.1.26 (|error of erfc| ≤ 1.5e-7). The tail is
// used as it is for v < 0, so nothing cancels there. The exponent is clamped: exp(−80) is 0 beside v.
fn activate(v: f32) -> f32 {
  let s = abs(v) * 0.70710678;
  let t = 1.0 / (1.0 + 0.3275911 * s);
  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * p * exp(-min(s, 8.9) * min(s, 8.9));
  return v * select(tail, 1.0 - tail, v > 0.0);
}
//#end
//#if ACTIVATION == gelu_tanh
// v · (1 + tanh u)/2 = v / (1 + exp(−2u)), u = √(2/π)(v + 0.044715 v³). v is clamped inside u, so that
// neither v³ nor exp overflows; beyond ±10 the factor is 0 or 1 in f32 anyway.
fn activate(v: f32) -> f32 {
  let c = clamp(v, -10.0, 10.0);
  let factor = 1.0 / (1.0 + exp(-min(1.5957691216 * (c + 0.044715 * c * c * c), 80.0)));
  return select(v * factor, 0.0, v < -10.0);
}
//#end
//#if ACTIVATION == none
fn activate(v: f32) -> f32 { return v; }
//#end
