// The end of a network where it is not fused into the last convolution: stored activations of a chunk → (NORM: norm and
// activation) → classifier and argmax (classifier.wgsl) → label bytes.
//   a[c] = source[z][c][y][x], or with NORM act((source − mean[c]) · scale[c] + shift[c])
// Bindings: source = the chunk; norm (NORM) = [channel] (mean, scale, shift, –); group 1 in classifier.wgsl.
// Dispatch: x = voxels of a plane, z = planes.
struct Dispatch {
  values: u32,           // nx · ny
  first: u32,            // index of the chunk's first value
  stride: u32,           // values from plane to plane
  first_byte: u32,       // label byte of the first plane's first voxel
  class_stride: u32,    // bytes from a label to its probability of class 1, and from class to class
}

@group(0) @binding(0) var<uniform> u: Dispatch;
@group(0) @binding(1) var<storage, read> source: array<stored>;
//#if NORM
@group(0) @binding(2) var<storage, read> norm: array<vec4f>;
//#end

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let base = u.first + id.z * u.stride;
  for (var i = id.x; i < u.values; i += groups.x * 64u) {
    var a: array<f32, $(WIDTH)>;
//#for c in WIDTH
//#if NORM
    a[$(c)] = activate((f32(source[base + $(c)u * u.values + i]) - norm[$(c)].x) * norm[$(c)].y + norm[$(c)].z);
//#else
    a[$(c)] = f32(source[base + $(c)u * u.values + i]);
//#end
//#end
    let logit_index = id.z * $(CLASSES)u * u.values + i;
    classify(a, u.first_byte + id.z * u.values + i, logit_index, u.values, u.class_stride);
  }
}
