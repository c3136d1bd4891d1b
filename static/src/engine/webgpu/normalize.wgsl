// Instance norm, phase 3: out = act((x − mean) · scale + shift), in place over a chunk.
// Bindings: data = the chunk; norm = [channel] (mean, scale, shift, –).
// Dispatch: x = voxels of a plane, y = channels, z = planes.
struct Dispatch {
  values: u32,           // nx · ny
  first: u32,            // index of the chunk's first value
  stride: u32,           // values from plane to plane
}

@group(0) @binding(0) var<uniform> u: Dispatch;
@group(0) @binding(1) var<storage, read_write> data: array<stored>;
@group(0) @binding(2) var<storage, read> norm: array<vec4f>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let n = norm[id.y];
  let base = u.first + id.z * u.stride + id.y * u.values;
  for (var i = id.x; i < u.values; i += groups.x * 64u) {
    data[base + i] = pack(activate((f32(data[base + i]) - n.x) * n.y + n.z));
  }
}
