// The convolution of conv.wgsl (same formula) for SwiftShader, which loads a buffer lane by lane, checks each load, and
// keeps every sum in memory under a mask. Weights come from a texture; four lanes load different ones and broadcast them, so
// that one read brings sixteen values; a sum is written once for nine taps. Subgroup functions need uniform control flow:
// nothing returns early, and voxels outside the volume are computed but not stored.
// An invocation has COLUMNS columns, spaced by the dilation like its rows: (ROWS + 2) · (COLUMNS + 2) loads serve 9 taps of
// each of ROWS · COLUMNS voxels.
// Dispatch: as conv.wgsl, x = column groups (group g → first column (g / d)·COLUMNS·d + g % d).
// Bindings: conv_dispatch.wgsl; weights = a texture, a row of QUADS texels for each [kz][c][kx], then one of biases.
@group(0) @binding(4) var weights: texture_2d<f32>;

@compute @workgroup_size(WORKGROUP_X, WORKGROUP_Y, 1)
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let nx = i32(u.size.x);
  let ny = i32(u.size.y);
  let d = i32(u.dilation);
  let left = (i32(id.x) / d) * ($(COLUMNS) * d) + i32(id.x) % d;
  let group = i32(id.y + u.first_group);
  let top = (group / d) * ($(ROWS) * d) + group % d;
  let plane = workgroup.z;
  let channel_stride = u.size.x * u.size.y;

//#for r in ROWS + 2
  let y_$(r) = top + $(r) * d - d;
  let inside_$(r) = y_$(r) >= 0 && y_$(r) < ny;
  let row_$(r) = u32(clamp(y_$(r), 0, ny - 1) * nx);
//#end

//#for j in COLUMNS + 2
  let x_$(j) = left + $(j) * d - d;
  let wide_$(j) = x_$(j) >= 0 && x_$(j) < nx;
  let column_$(j) = u32(clamp(x_$(j), 0, nx - 1));
//#end

//#for q in BIAS_QUADS
  let bias_$(q) = textureLoad(weights, vec2u($(q)u, 9u * IN_CHANNELS), 0);
//#end
//#for j in COLUMNS
//#for r in ROWS
//#for o in BLOCK
  var acc_$(j)_$(r)_$(o) = bias_$(o / 4)[$(o % 4)];
//#end
//#end
//#end

//#for k in 3
  if (plane < u.planes_of[$(k)]) {
    var tap = $(k) * IN_CHANNELS * 3u;
    var channel = u.first[$(k)] + plane * u.in_stride;
    for (var c = 0u; c < IN_CHANNELS; c++) {
//#for j in COLUMNS + 2
      let at_$(j) = channel + column_$(j);
//#for r in ROWS + 2
      let v_$(j)_$(r) = select(0.0, f32(window_$(k)[at_$(j) + row_$(r)]), wide_$(j) && inside_$(r));
//#end
//#end
//#for kx in 3
//#for f in (QUADS + 3) / 4
      let fetched_$(kx)_$(f) = textureLoad(weights, vec2u($(4 * f)u + lane % 4u, tap + $(kx)u), 0);
//#end
//#for q in QUADS
      let w_$(kx)_$(q) = subgroupBroadcast(fetched_$(kx)_$(q / 4), $(q % 4)u);
//#end
//#end
//#for o in BLOCK
//#for j in COLUMNS
//#for r in ROWS
      acc_$(j)_$(r)_$(o) = acc_$(j)_$(r)_$(o)
//#for kx in 3
//#for ky in 3
        + w_$(kx)_$((ky * BLOCK + o) / 4)[$((ky * BLOCK + o) % 4)] * v_$(j + kx)_$(r + ky)
//#end
//#end
      ;
//#end
//#end
//#end
      tap += 3u;
      channel += channel_stride;
    }
  }
//#end

//#for j in COLUMNS
//#for r in ROWS
  if (wide_$(j + 1) && inside_$(r + 1)) {
    let voxel_$(j)_$(r) = row_$(r + 1) + column_$(j + 1);
//#if FUSE
    var a: array<f32, $(WIDTH)>;
//#for o in BLOCK
    a[$(o)] = activate(acc_$(j)_$(r)_$(o));
//#end
    classify(a, u.first_byte + plane * channel_stride + voxel_$(j)_$(r), 0u, 0u, u.class_stride);
//#else
//#for o in BLOCK
    out[u.first.w + plane * u.out_stride + voxel_$(j)_$(r) + $(o)u * channel_stride] = pack(activate(acc_$(j)_$(r)_$(o)));
//#end
//#end
  }
//#end
//#end
}
