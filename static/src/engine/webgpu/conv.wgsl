// Dilated 3×3×3 convolution, zero padding, with fused bias and activation, or with the whole end of the
// network fused (FUSE: activation → classifier → argmax → label bytes).
//   out[z][o][y][x] = act(bias[o] + Σ_kz Σ_c Σ_kx Σ_ky w[kz][c][kx][ky][o] · in[z+(kz−1)d][c][y+(ky−1)d][x+(kx−1)d])
//
// One invocation computes ROWS voxels of one column, spaced by the dilation (y, y+d, …), for BLOCK output
// channels: ROWS + 2 loads then serve 3 · ROWS taps, and neighbouring invocations read neighbouring x,
// whatever the dilation. Accumulators are scalars acc_row_channel. COPIES (1 or 3) columns kx are spelled out
// per turn of their loop: with more of them a compiler can start loads early, and the kernel is longer.
// A sum takes its three products ky at once, so that a spilled sum is loaded and stored once for three.
//
// Dispatch: x = columns, y = row groups (group g → first row (g / d)·ROWS·d + g % d), z = planes; once for
// each block of output channels.
// Bindings: conv_dispatch.wgsl; weights = the block's [kz][c][kx] QUADS vec4f holding [ky][BLOCK] without gaps, then
// BLOCK biases.
//#if UNIFORM
@group(0) @binding(4) var<uniform> weights: array<vec4f, $(WEIGHT_QUADS)>;
//#else
@group(0) @binding(4) var<storage, read> weights: array<vec4f, $(WEIGHT_QUADS)>;
//#end

@compute @workgroup_size(WORKGROUP_X, WORKGROUP_Y, 1)
fn main(
  @builtin(global_invocation_id) id: vec3u,
) {
  let nx = i32(u.size.x);
  let ny = i32(u.size.y);
  let d = i32(u.dilation);
  let x = i32(id.x);
  let group = i32(id.y + u.first_group);
  let top = (group / d) * ($(ROWS) * d) + group % d;
  if (x >= nx || top >= ny) { return; }
  let plane = id.z;
  let channel_stride = u.size.x * u.size.y;

//#for r in ROWS + 2
  let y_$(r) = top + $(r) * d - d;
  let inside_$(r) = y_$(r) >= 0 && y_$(r) < ny;
  let row_$(r) = u32(clamp(y_$(r), 0, ny - 1) * nx);
//#end

//#for q in BIAS_QUADS
  let bias_$(q) = weights[$(BIAS_AT + q)];
//#end
//#for r in ROWS
//#for o in BLOCK
  var acc_$(r)_$(o) = bias_$(o / 4)[$(o % 4)];
//#end
//#end

//#for k in 3
  if (plane < u.planes_of[$(k)]) {
    var tap = $(k) * IN_CHANNELS * $(3 * QUADS);
    var channel = u.first[$(k)] + plane * u.in_stride;
    for (var c = 0u; c < IN_CHANNELS; c++) {
      for (var kx = 0u; kx < 3u; kx += $(COPIES)u) {
//#for copy in COPIES
        let column_$(copy) = x + i32(kx) * d + $(copy) * d - d;
        let wide_$(copy) = column_$(copy) >= 0 && column_$(copy) < nx;
        let at_$(copy) = channel + u32(clamp(column_$(copy), 0, nx - 1));
//#for r in ROWS + 2
        let v_$(copy)_$(r) = select(0.0, f32(window_$(k)[at_$(copy) + row_$(r)]), wide_$(copy) && inside_$(r));
//#end
//#for q in QUADS
        let w_$(copy)_$(q) = weights[tap + $(copy * QUADS + q)];
//#end
//#for o in BLOCK
//#for r in ROWS
        acc_$(r)_$(o) = fma(w_$(copy)_$(o / 4)[$(o % 4)], v_$(copy)_$(r),
          fma(w_$(copy)_$((BLOCK + o) / 4)[$((BLOCK + o) % 4)], v_$(copy)_$(r + 1),
            fma(w_$(copy)_$((2 * BLOCK + o) / 4)[$((2 * BLOCK + o) % 4)], v_$(copy)_$(r + 2), acc_$(r)_$(o))));
//#end
//#end
//#end
        tap += $(COPIES * QUADS)u;
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
    classify(a, byte, 0u, 0u, u.class_stride);
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
