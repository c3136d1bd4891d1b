// Activations in memory: [plane][channel][y][x], rows and channels not padded, planes aligned to 256 bytes.
// With F16 they are stored as f16 (saturating at its largest value); all arithmetic is f32.
//#if F16
enable f16;
alias stored = f16;
fn pack(v: f32) -> stored { return f16(clamp(v, -65504.0, 65504.0)); }
//#else
alias stored = f32;
fn pack(v: f32) -> stored { return v; }
//#end
