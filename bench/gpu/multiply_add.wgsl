// Peak rate of float32 multiply-adds: no memory traffic but one store per invocation.
//   a_k = fma(a_k, factor, addend), `turns` times, for 8 independent vec4f a_k: 64 multiply-adds (128 operations) a turn
//   for each invocation. Eight chains keep the units busy while one waits for its result.
// The store depends on every chain, so that no compiler leaves one out.
//
// Dispatch: x = workgroups of 256 invocations.
// Bindings: 0 = turns, factor, addend; 1 = one float32 for each invocation of the first 65,536.
struct Uniforms {
  turns: u32,
  factor: f32,
  addend: f32,
}
@group(0) @binding(0) var<uniform> u: Uniforms;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = vec4f(u.factor);
  let addend = vec4f(u.addend, u.addend * 2.0, u.addend * 3.0, u.addend * 4.0);
  let start = f32(id.x & 255u);
  var a0 = vec4f(start);
  var a1 = vec4f(start + 1.0);
  var a2 = vec4f(start + 2.0);
  var a3 = vec4f(start + 3.0);
  var a4 = vec4f(start + 4.0);
  var a5 = vec4f(start + 5.0);
  var a6 = vec4f(start + 6.0);
  var a7 = vec4f(start + 7.0);
  for (var turn = 0u; turn < u.turns; turn++) {
    a0 = fma(a0, factor, addend);
    a1 = fma(a1, factor, addend);
    a2 = fma(a2, factor, addend);
    a3 = fma(a3, factor, addend);
    a4 = fma(a4, factor, addend);
    a5 = fma(a5, factor, addend);
    a6 = fma(a6, factor, addend);
    a7 = fma(a7, factor, addend);
    a0 = fma(a0, factor, addend);
    a1 = fma(a1, factor, addend);
    a2 = fma(a2, factor, addend);
    a3 = fma(a3, factor, addend);
    a4 = fma(a4, factor, addend);
    a5 = fma(a5, factor, addend);
    a6 = fma(a6, factor, addend);
    a7 = fma(a7, factor, addend);
  }
  let sum = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7));
  result[id.x & 65535u] = sum.x + sum.y + sum.z + sum.w;
}
