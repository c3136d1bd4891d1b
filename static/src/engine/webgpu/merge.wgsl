// Instance norm, phase 2: planes' statistics → per channel (mean, scale, shift).
//   mean = mean of the planes' means (all planes have as many voxels n);
//   var  = (Σ M2 + n Σ (plane mean − mean)²) / (n · nz), biased;  scale = weight/√(var + eps), shift = bias
// Bindings: statistics = [z][channel] (mean, M2); affine = [channel] (weight, bias); norm = [channel] (mean, scale, shift, –).
// Dispatch: one invocation per channel.
struct Dispatch {
  values: u32,           // nx · ny
  channels: u32,
  planes: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> u: Dispatch;
@group(0) @binding(1) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(2) var<storage, read> affine: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> norm: array<vec4f>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= u.channels) { return; }
  let origin = statistics[c].x;
  let planes = f32(u.planes);
  var shift = 0.0;
  for (var z = 0u; z < u.planes; z++) { shift += statistics[z * u.channels + c].x - origin; }
  let mean = origin + shift / planes;
  var within = 0.0;
  var between = 0.0;
  for (var z = 0u; z < u.planes; z++) {
    let s = statistics[z * u.channels + c];
    within += s.y;
    between += (s.x - mean) * (s.x - mean);
  }
  let variance = (within / f32(u.values) + between) / planes;
  norm[c] = vec4f(mean, affine[c].x / sqrt(variance + u.eps), affine[c].y, 0.0);
}
