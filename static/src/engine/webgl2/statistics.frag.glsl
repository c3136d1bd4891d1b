// Mean and sum of squared deviations of one row (y) of one group (four channels) of a plane:
//   target 0 = mean over x, target 1 = sum over x of (value - mean)^2.
// The row is read twice, so that no digits cancel however large the mean; the host merges rows in float64.
// Dispatch: viewport (ny, groups) from target row `firstRow` on, one fragment per (row, group). Bindings: `plane`, `width` = nx.
uniform highp sampler2DArray plane;
uniform int firstRow;
uniform int width;

layout(location = 0) out vec4 rowMean;
layout(location = 1) out vec4 rowSquares;

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy) - ivec2(0, firstRow); // (row, group)
  vec4 sum = vec4(0.0);
  for (int x = 0; x < width; x++) sum += texelFetch(plane, ivec3(x, at.x, at.y), 0);
  vec4 mean = sum / float(width);
  vec4 squares = vec4(0.0);
  for (int x = 0; x < width; x++) {
    vec4 deviation = texelFetch(plane, ivec3(x, at.x, at.y), 0) - mean;
    squares += deviation * deviation;
  }
  rowMean = mean;
  rowSquares = squares;
}
