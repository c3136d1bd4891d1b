// The separate pieces of a mesh. A cavity inside a piece is a piece with a negative volume.
import type { Mesh } from './mesh';

/** Each connected part of the mesh, in the order of their first vertices. */
export function piecesOf({ positions, triangles }: Mesh): Mesh[] {
  const vertices = positions.length / 3;
  const pieceOf = pieceOfVertices(vertices, triangles);
  const placeOf = new Uint32Array(vertices);
  const found: { readonly positions: number[]; readonly triangles: number[] }[] = [];
  for (let vertex = 0; vertex < vertices; vertex++) {
    const piece = (found[pieceOf[vertex]!] ??= { positions: [], triangles: [] });
    placeOf[vertex] = piece.positions.length / 3;
    piece.positions.push(positions[3 * vertex]!, positions[3 * vertex + 1]!, positions[3 * vertex + 2]!);
  }
  for (const vertex of triangles) found[pieceOf[vertex]!]!.triangles.push(placeOf[vertex]!);
  return found.map((piece) => ({ positions: Float64Array.from(piece.positions), triangles: Uint32Array.from(piece.triangles) }));
}

/** One mesh of all. */
export function joined(meshes: readonly Mesh[]): Mesh {
  const sum = (count: (mesh: Mesh) => number): number => meshes.reduce((total, mesh) => total + count(mesh), 0);
  const positions = new Float64Array(sum((mesh) => mesh.positions.length));
  const triangles = new Uint32Array(sum((mesh) => mesh.triangles.length));
  let [atPosition, atTriangle] = [0, 0];
  for (const mesh of meshes) {
    const first = atPosition / 3;
    positions.set(mesh.positions, atPosition);
    triangles.set(mesh.triangles.map((vertex) => vertex + first), atTriangle);
    atPosition += mesh.positions.length;
    atTriangle += mesh.triangles.length;
  }
  return { positions, triangles };
}

/** Number of the piece of each vertex, from 0, by union-find. */
function pieceOfVertices(vertices: number, triangles: Uint32Array): Uint32Array {
  const parent = Uint32Array.from({ length: vertices }, (_, vertex) => vertex);
  const root = (vertex: number): number => {
    let r = vertex;
    while (parent[r] !== r) r = parent[r] = parent[parent[r]!]!;
    return r;
  };
  for (let n = 0; n < triangles.length; n++) {
    const [a, b] = [root(triangles[n]!), root(triangles[n % 3 === 2 ? n - 2 : n + 1]!)];
    // The lower one is the root, so that it is seen first below.
    if (a < b) parent[b] = a;
    else parent[a] = b;
  }
  const piece = new Uint32Array(vertices);
  let count = 0;
  for (let vertex = 0; vertex < vertices; vertex++) piece[vertex] = root(vertex) === vertex ? count++ : piece[root(vertex)]!;
  return piece;
}
