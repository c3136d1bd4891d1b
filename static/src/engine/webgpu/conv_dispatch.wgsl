// Inputs and output of both convolution kernels (conv.wgsl, conv_lanes.wgsl); each declares its weights, binding 4.
// Bindings: window_0, _1, _2 = the chunks that hold planes z − d, z, z + d (not read where `planes_of` is 0); out = the
// output's chunk. With FUSE there is no `out` but labels (classifier.wgsl).
struct Dispatch {
  size: vec2u,           // nx, ny
  dilation: u32,
  in_stride: u32,        // values from plane to plane
  first: vec4u,          // index of the first value of: window 0, 1, 2, out (the block's first channel)
  out_stride: u32,
  first_group: u32,
  first_byte: u32,       // FUSE: label byte of the first plane's first voxel
  class_stride: u32,    // FUSE: bytes from a label to its probability of class 1, and from class to class
  // Planes of this dispatch that window 0, 1, 2 holds: all, or none. Compared with the plane's number, not with 0:
  // a branch on uniforms alone makes Mesa compile the kernel again for every dispatch, with the value as a literal.
  planes_of: vec3u,
}

override WORKGROUP_X: u32 = 32;
override WORKGROUP_Y: u32 = 1;
override IN_CHANNELS: u32 = 1;

@group(0) @binding(0) var<uniform> u: Dispatch;
@group(0) @binding(1) var<storage, read> window_0: array<stored>;
@group(0) @binding(2) var<storage, read> window_1: array<stored>;
@group(0) @binding(3) var<storage, read> window_2: array<stored>;
//#if FUSE
//#else
@group(0) @binding(5) var<storage, read_write> out: array<stored>;
//#end
