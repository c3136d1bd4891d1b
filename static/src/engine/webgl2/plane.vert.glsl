#version 300 es
// One triangle that covers the whole plane: every fragment of the viewport is one voxel (x, y).
// Dispatch: drawArrays(TRIANGLES, 0, 3), no attributes.
void main() {
  vec2 corner = vec2(float((gl_VertexID & 1) << 2), float((gl_VertexID & 2) << 1));
  gl_Position = vec4(corner - 1.0, 0.0, 1.0);
}
