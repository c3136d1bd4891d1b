// Rate of memory: every invocation copies 16 bytes, so a dispatch reads and writes the whole buffer once.
//   destination[i] = source[i]
//
// Dispatch: x = workgroups of 256 invocations in a row of `row` invocations, y = rows.
// Bindings: 0 = invocations in a row; 1 = source; 2 = destination.
@group(0) @binding(0) var<uniform> row: u32;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4f>;

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.y * row + id.x;
  if (i < arrayLength(&source)) {
    destination[i] = source[i];
  }
}
