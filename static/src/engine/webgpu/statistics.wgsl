// Instance norm, phase 1: per plane and channel the mean and the sum of squared deviations from it.
//   mean = v₀ + Σ (v − v₀) / n;  M2 = Σ (v − mean)², v₀ = the plane's first value, n = nx · ny
// Digits don't cancel however far the mean lies from zero, as they would in E[v²] − E[v]².
// Bindings: source = the chunk; statistics = [z][channel] (mean, M2).
// Dispatch: y = channels, z = planes; one workgroup each.
struct Dispatch {
  values: u32,           // nx · ny
  channels: u32,
  first: u32,            // index of the chunk's first value
  stride: u32,           // values from plane to plane
  first_plane: u32,      // z of that plane
}

@group(0) @binding(0) var<uniform> u: Dispatch;
@group(0) @binding(1) var<storage, read> source: array<stored>;
@group(0) @binding(2) var<storage, read_write> statistics: array<vec2f>;

const THREADS = 128u;
var<workgroup> partial: array<f32, THREADS>;

fn total(thread: u32, value: f32) -> f32 {
  partial[thread] = value;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(THREADS, 1, 1)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let thread = local.x;
  let base = u.first + group.z * u.stride + group.y * u.values;
  let count = f32(u.values);
  let origin = f32(source[base]);
  var sum = 0.0;
  for (var i = thread; i < u.values; i += THREADS) { sum += f32(source[base + i]) - origin; }
  let mean = origin + total(thread, sum) / count;
  var deviation = 0.0;
  var squares = 0.0;
  for (var i = thread; i < u.values; i += THREADS) {
    let difference = f32(source[base + i]) - mean;
    deviation += difference;
    squares += difference * difference;
  }
  let rest = total(thread, deviation);
  let m2 = total(thread, squares) - rest * rest / count;
  if (thread == 0u) {
    statistics[(u.first_plane + group.z) * u.channels + group.y] = vec2f(mean + rest / count, m2);
  }
}
