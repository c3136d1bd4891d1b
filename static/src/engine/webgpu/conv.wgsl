// Dilated 3×3×3 convolution, zero padding, with fused bias and activation, or with the whole end of the
// network fused (FUSE: activation → classifier → argmax → label bytes).
//   out[z][o][y][x] = act(bias[o] + Σ_kz Σ_c Σ_kx Σ_ky w[kz][c][kx][ky][o] · in[z+(kz−1)d][c][y+(ky−1)d][x+(kx−1)d])
//
// One invocation computes ROWS voxels of one column, spaced by the dilation (y, y+d, …), for a block of
// BLOCK output channels: ROWS + 2 loads then serve 3 · ROWS taps, and neighbouring invocations read
// neighbouring x, whatever the dilation. Accumulators are scalars acc_row_channel.
//
// Dispatch: x = columns, y = row groups (group g → first row (g / d)·ROWS·d + g % d), z = planes · blocks.
// Bindings: window_0, _1, _2 = the chunks that hold planes z − d, z, z + d (absent where `present` says
// so); weights = [block][kz][c][kx][ky][BLOCK4] then [block][BLOCK4] bias, as vec4f, BLOCK4 = BLOCK rounded
// up to 4; out = chunk of the output.
struct Dispatch {
  size: vec2u,           // nx, ny
  dilation: u32,
  present: u32,          // bit k set: window k exists
  first: vec4u,          // index of the first value of: window 0, 1, 2, out
  in_stride: u32,        // values from plane to plane
  out_stride: u32,
  first_group: u32,
  first_byte: u32,       // FUSE: label byte of the first plane's first voxel
  margin_offset: u32,    // FUSE: bytes from a label to its margin
}

override WORKGROUP_X: u32 = 32;
override WORKGROUP_Y: u32 = 1;
override IN_CHANNELS: u32 = 1;
override OUT_CHANNELS: u32 = 1;
override BLOCKS: u32 = 1;

@group(0) @binding(0) var<uniform> u: Dispatch;
@group(0) @binding(1) var<storage, read> window_0: array<stored>;
@group(0) @binding(2) var<storage, read> window_1: array<stored>;
@group(0) @binding(3) var<storage, read> window_2: array<stored>;
@group(0) @binding(4) var<storage, read> weights: array<vec4f>;
//#if FUSE
//#else
@group(0) @binding(5) var<storage, read_write> out: array<stored>;
//#end

@compute @workgroup_size(WORKGROUP_X, WORKGROUP_Y, 1)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let nx = i32(u.size.x);
  let ny = i32(u.size.y);
  let d = i32(u.dilation);
  let x = i32(id.x);
  let group = i32(id.y + u.first_group);
  let top = (group / d) * ($(ROWS) * d) + group % d;
  if (x >= nx || top >= ny) { return; }
  let plane = id.z / BLOCKS;
  let block = id.z % BLOCKS;
  let channel_stride = u.size.x * u.size.y;

//#for r in ROWS + 2
  let y_$(r) = top + ($(r) - 1) * d;
  let inside_$(r) = y_$(r) >= 0 && y_$(r) < ny;
  let row_$(r) = u32(clamp(y_$(r), 0, ny - 1) * nx);
//#end

  let bias_at = (BLOCKS * 27u * IN_CHANNELS + block) * $(QUADS)u;
//#for q in QUADS
  let bias_$(q) = weights[bias_at + $(q)u];
//#end
//#for r in ROWS
//#for o in BLOCK
  var acc_$(r)_$(o) = bias_$(o / 4)[$(o % 4)];
//#end
//#end

//#for k in 3
  if ((u.present & (1u << $(k)u)) != 0u) {
    var tap = (block * 3u + $(k)u) * IN_CHANNELS * $(9 * QUADS)u;
    var channel = u.first[$(k)] + plane * u.in_stride;
    for (var c = 0u; c < IN_CHANNELS; c++) {
      for (var kx = -1; kx <= 1; kx++) {
        let column = x + kx * d;
        let wide = column >= 0 && column < nx;
        let at = channel + u32(clamp(column, 0, nx - 1));
//#for r in ROWS + 2
        let v_$(r) = select(0.0, f32(window_$(k)[at + row_$(r)]), wide && inside_$(r));
//#end
//#for ky in 3
//#for q in QUADS
        let w_$(ky)_$(q) = weights[tap + $(ky * QUADS + q)u];
//#end
//#for o in BLOCK
//#for r in ROWS
        acc_$(r)_$(o) = fma(w_$(ky)_$(o / 4)[$(o % 4)], v_$(r + ky), acc_$(r)_$(o));
//#end
//#end
//#end
        tap += $(3 * QUADS)u;
      }
      channel += channel_stride;
    }
  }
//#end

//#if FUSE
//#for r in ROWS
  if (top + $(r) * d < ny) {
    var a: array<f32, $(WIDTH)>;
//#for o in BLOCK
    a[$(o)] = activate(acc_$(r)_$(o));
//#end
    let byte = u.first_byte + (plane * u.size.y + u32(top + $(r) * d)) * u.size.x + id.x;
    classify(a, byte, 0u, 0u, u.margin_offset);
  }
//#end
//#else
  let base = u.first.w + plane * u.out_stride + block * $(BLOCK)u * channel_stride + id.x;
//#for o in BLOCK
  if (block * $(BLOCK)u + $(o)u < OUT_CHANNELS) {
//#for r in ROWS
    if (top + $(r) * d < ny) {
      out[base + $(o)u * channel_stride + u32((top + $(r) * d) * nx)] = pack(activate(acc_$(r)_$(o)));
    }
//#end
  }
//#end
//#end
}
