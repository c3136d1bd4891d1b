// Dilated 3×3×3 convolution, zero padding, with fused bias and activation, or with the whole end of the
// network fused (FUSE: activation → classifier → argmax → label bytes).
//   out[z][o][y][x] = act(bias[o] + Σ_kz Σ_c Σ_kx Σ_ky w[kz][c][kx][ky][o] · in[z+(kz−1)d][c][y+(ky−1)d][x+(kx−1)d])
//
// One invocation computes ROWS voxels of one column, spaced by the dilation (y, y+d, …), for BLOCK output
// channels: ROWS + 2 loads then serve 3 · ROWS taps, and neighbouring invocations read neighbouring x,
// whatever the dilation. Accumulators are scalars acc_row_channel. COPIES (1 or 3) columns kx are spelled out
// per turn of their loop: more give a compiler loads to start early, and longer programs.
//
// LANES is for SwiftShader, which loads a buffer lane by lane, checks each, and keeps every sum in memory under a mask:
// weights come from a texture, four lanes load different ones and hand them to each other, so that one read brings
// sixteen; and a sum is written once per turn. Subgroup functions need uniform control flow: nothing returns early.
//
// Dispatch: x = columns, y = row groups (group g → first row (g / d)·ROWS·d + g % d), z = planes; once for
// each block of output channels.
// Bindings: window_0, _1, _2 = the chunks that hold planes z − d, z, z + d (absent where `planes_of` says
// so); weights = the block's [kz][c][kx] QUADS vec4f holding [ky][BLOCK] without gaps, then BLOCK biases;
// out = chunk of the output.
struct Dispatch {
  size: vec2u,           // nx, ny
  dilation: u32,
  in_stride: u32,        // values from plane to plane
  first: vec4u,          // index of the first value of: window 0, 1, 2, out (the block's first channel)
  out_stride: u32,
  first_group: u32,
  first_byte: u32,       // FUSE: label byte of the first plane's first voxel
  margin_offset: u32,    // FUSE: bytes from a label to its margin
  // Planes of this dispatch that window 0, 1, 2 holds: all, or none. Compared with the plane's number, not with 0:
  // a branch on uniforms alone makes Mesa compile the program anew for every pass, with the value as a literal.
  planes_of: vec3u,
}

override WORKGROUP_X: u32 = 32;
override WORKGROUP_Y: u32 = 1;
override IN_CHANNELS: u32 = 1;

@group(0) @binding(0) var<uniform> u: Dispatch;
@group(0) @binding(1) var<storage, read> window_0: array<stored>;
@group(0) @binding(2) var<storage, read> window_1: array<stored>;
@group(0) @binding(3) var<storage, read> window_2: array<stored>;
//#if LANES
@group(0) @binding(4) var weights: texture_2d<f32>; // a row for each [kz][c][kx], then one of biases
//#else
//#if UNIFORM
@group(0) @binding(4) var<uniform> weights: array<vec4f, $(WEIGHT_QUADS)>;
//#else
@group(0) @binding(4) var<storage, read> weights: array<vec4f, $(WEIGHT_QUADS)>;
//#end
//#end
//#if FUSE
//#else
@group(0) @binding(5) var<storage, read_write> out: array<stored>;
//#end

@compute @workgroup_size(WORKGROUP_X, WORKGROUP_Y, 1)
fn main(
  @builtin(global_invocation_id) id: vec3u,
//#if LANES
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
//#end
) {
  let nx = i32(u.size.x);
  let ny = i32(u.size.y);
  let d = i32(u.dilation);
  let x = i32(id.x);
  let group = i32(id.y + u.first_group);
  let top = (group / d) * ($(ROWS) * d) + group % d;
//#if LANES
  let plane = workgroup.z;
//#else
  if (x >= nx || top >= ny) { return; }
  let plane = id.z;
//#end
  let channel_stride = u.size.x * u.size.y;

//#for r in ROWS + 2
  let y_$(r) = top + $(r) * d - d;
//#if LANES
  let inside_$(r) = y_$(r) >= 0 && y_$(r) < ny && x < nx;
//#else
  let inside_$(r) = y_$(r) >= 0 && y_$(r) < ny;
//#end
  let row_$(r) = u32(clamp(y_$(r), 0, ny - 1) * nx);
//#end

//#for q in BIAS_QUADS
//#if LANES
  let bias_$(q) = textureLoad(weights, vec2u($(q)u, 9u * IN_CHANNELS), 0);
//#else
  let bias_$(q) = weights[$(BIAS_AT + q)];
//#end
//#end
//#for r in ROWS
//#for o in BLOCK
  var acc_$(r)_$(o) = bias_$(o / 4)[$(o % 4)];
//#end
//#end

//#for k in 3
  if (plane < u.planes_of[$(k)]) {
//#if LANES
    var tap = $(k) * IN_CHANNELS * 3u;
//#else
    var tap = $(k) * IN_CHANNELS * $(3 * QUADS);
//#end
    var channel = u.first[$(k)] + plane * u.in_stride;
    for (var c = 0u; c < IN_CHANNELS; c++) {
//#if LANES
      {
        const kx = 0u;
//#else
      for (var kx = 0u; kx < 3u; kx += $(COPIES)u) {
//#end
//#for copy in COPIES
        let column_$(copy) = x + i32(kx) * d + $(copy) * d - d;
        let wide_$(copy) = column_$(copy) >= 0 && column_$(copy) < nx;
        let at_$(copy) = channel + u32(clamp(column_$(copy), 0, nx - 1));
//#for r in ROWS + 2
        let v_$(copy)_$(r) = select(0.0, f32(window_$(k)[at_$(copy) + row_$(r)]), wide_$(copy) && inside_$(r));
//#end
//#if LANES
//#for f in (QUADS + 3) / 4
        let fetched_$(copy)_$(f) = textureLoad(weights, vec2u($(4 * f)u + lane % 4u, tap + $(copy)u), 0);
//#end
//#for q in QUADS
        let w_$(copy)_$(q) = subgroupBroadcast(fetched_$(copy)_$(q / 4), $(q % 4)u);
//#end
//#else
//#for q in QUADS
        let w_$(copy)_$(q) = weights[tap + $(copy * QUADS + q)];
//#end
//#for ky in 3
//#for o in BLOCK
//#for r in ROWS
        acc_$(r)_$(o) = fma(w_$(copy)_$((ky * BLOCK + o) / 4)[$((ky * BLOCK + o) % 4)], v_$(copy)_$(r + ky), acc_$(r)_$(o));
//#end
//#end
//#end
//#end
//#end
//#if LANES
//#for o in BLOCK
//#for r in ROWS
        acc_$(r)_$(o) = acc_$(r)_$(o)
//#for copy in COPIES
//#for ky in 3
          + w_$(copy)_$((ky * BLOCK + o) / 4)[$((ky * BLOCK + o) % 4)] * v_$(copy)_$(r + ky)
//#end
//#end
        ;
//#end
//#end
        tap += $(COPIES)u;
//#else
        tap += $(COPIES * QUADS)u;
//#end
      }
      channel += channel_stride;
    }
  }
//#end

//#if FUSE
//#for r in ROWS
  if (inside_$(r + 1)) {
    var a: array<f32, $(WIDTH)>;
//#for o in BLOCK
    a[$(o)] = activate(acc_$(r)_$(o));
//#end
    let byte = u.first_byte + plane * channel_stride + row_$(r + 1) + id.x;
    classify(a, byte, 0u, 0u, u.margin_offset);
  }
//#end
//#else
  let base = u.first.w + plane * u.out_stride + id.x;
//#for r in ROWS
  if (inside_$(r + 1)) {
//#for o in BLOCK
    out[base + row_$(r + 1) + $(o)u * channel_stride] = pack(activate(acc_$(r)_$(o)));
//#end
  }
//#end
//#end
}
