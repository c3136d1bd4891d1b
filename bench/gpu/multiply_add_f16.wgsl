// Peak rate of float16 multiply-adds; the same loop as multiply_add.wgsl. Needs the feature shader-f16.
//   a_k = fma(a_k, factor, addend), `turns` times, for 8 independent vec4h a_k: 64 multiply-adds (128 operations) a turn
//   for each invocation. Eight chains keep the units busy while one waits for its result.
// The store depends on every chain, so that no compiler leaves one out.
//
// Dispatch: x = workgroups of 256 invocations.
// Bindings: 0 = turns, factor, addend; 1 = one float32 for each invocation of the first 65,536.
enable f16;

struct Uniforms {
  turns: u32,
  factor: f32,
  addend: f32,
}
@group(0) @binding(0) var<uniform> u: Uniforms;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = vec4h(f16(u.factor));
  let addend = vec4h(vec4f(u.addend, u.addend * 2.0, u.addend * 3.0, u.addend * 4.0));
  let start = f16(id.x & 255u);
  var a0 = vec4h(start);
  var a1 = vec4h(start + 1.0h);
  var a2 = vec4h(start + 2.0h);
  var a3 = vec4h(start + 3.0h);
  var a4 = vec4h(start + 4.0h);
  var a5 = vec4h(start + 5.0h);
  var a6 = vec4h(start + 6.0h);
  var a7 = vec4h(start + 7.0h);
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
  result[id.x & 65535u] = f32(sum.x + sum.y + sum.z + sum.w);
}
