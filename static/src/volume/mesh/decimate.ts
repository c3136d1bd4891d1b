// Fewer triangles: edges are collapsed in the order of their error (Garland and Heckbert 1997, doi:10.1145/258734.258849).
// An edge is collapsed only where that leaves a watertight mesh of the same shape (the link condition of Dey et al. 1999) and
// turns no triangle over.
import { areaVector } from './mesh';
import type { Mesh } from './mesh';

/** The largest error of each round, as a share of the last one's: small ones first. */
const ROUNDS = [0.05, 0.2, 0.4, 0.7, 1] as const;

/** Triangles may turn by less than this (cosine). */
const LEAST_COSINE = 0.3;

/** Numbers of a quadric: the upper triangle of a symmetric 4 × 4 matrix, and the weight that it holds. */
const Q = 11;

/**
 * The mesh without the vertices that are farther than `errorMm` from no triangle that was there before, as the root of the mean
 * squared distance, weighted by area. A watertight mesh stays watertight.
 */
export function decimated(mesh: Mesh, errorMm: number): Mesh {
  const work = new Work(mesh);
  for (const share of ROUNDS) work.round((share * errorMm) ** 2);
  return work.compact();
}

/** A mesh being decimated: the triangles at each vertex are a linked list of corners. */
class Work {
  private readonly positions: Float64Array;
  private readonly triangles: Uint32Array;
  private readonly quadrics: Float64Array;
  /** First corner in the list of each vertex; −1 for a vertex that is gone. */
  private readonly head: Int32Array;
  private readonly next: Int32Array;
  private readonly isDead: Uint8Array;
  /** The round's number at the vertices that were seen in it. */
  private readonly mark: Int32Array;
  private marks = 0;
  private readonly spot = new Float64Array(3);

  constructor({ positions, triangles }: Mesh) {
    const vertices = positions.length / 3;
    this.positions = positions.slice();
    this.triangles = triangles.slice();
    this.quadrics = new Float64Array(Q * vertices);
    this.head = new Int32Array(vertices).fill(-1);
    this.next = new Int32Array(triangles.length);
    this.isDead = new Uint8Array(triangles.length / 3);
    this.mark = new Int32Array(vertices);
    for (let corner = 0; corner < triangles.length; corner++) {
      this.next[corner] = this.head[triangles[corner]!]!;
      this.head[triangles[corner]!] = corner;
    }
    for (let n = 0; n < triangles.length; n += 3) this.addPlane(n);
  }

  /** Collapses each edge whose error in mm² is at most `limit`. */
  round(limit: number): void {
    for (let n = 0; n < this.triangles.length; n++) {
      const triangle = Math.floor(n / 3);
      if (this.isDead[triangle] !== 0) continue;
      const [u, v] = [this.triangles[n]!, this.triangles[n % 3 === 2 ? n - 2 : n + 1]!];
      // Each edge once: its other triangle has it the other way round.
      if (u > v || this.place(u, v) > limit || !this.keepsShape(u, v) || this.turnsOver(u, v) || this.turnsOver(v, u)) continue;
      this.collapse(u, v);
    }
  }

  compact(): Mesh {
    const newOf = new Int32Array(this.head.length).fill(-1);
    const positions: number[] = [];
    const triangles: number[] = [];
    for (let n = 0; n < this.triangles.length; n++) {
      if (this.isDead[Math.floor(n / 3)] !== 0) continue;
      const vertex = this.triangles[n]!;
      if (newOf[vertex] === -1) newOf[vertex] = positions.push(this.positions[3 * vertex]!, this.positions[3 * vertex + 1]!, this.positions[3 * vertex + 2]!) / 3 - 1;
      triangles.push(newOf[vertex]!);
    }
    return { positions: Float64Array.from(positions), triangles: Uint32Array.from(triangles) };
  }

  /** Adds the plane of the triangle, weighted by its area, to the quadrics of its corners. */
  private addPlane(n: number): void {
    const corners = [this.triangles[n]!, this.triangles[n + 1]!, this.triangles[n + 2]!] as const;
    const [x, y, z] = areaVector(this.positions, 3 * corners[0], 3 * corners[1], 3 * corners[2]);
    const length = Math.hypot(x, y, z);
    if (length === 0) return;
    const [a, b, c] = [x / length, y / length, z / length];
    const p = 3 * corners[0];
    const d = -(a * this.positions[p]! + b * this.positions[p + 1]! + c * this.positions[p + 2]!);
    const terms = [a * a, a * b, a * c, a * d, b * b, b * c, b * d, c * c, c * d, d * d, 1];
    for (const corner of corners) for (let t = 0; t < Q; t++) this.quadrics[Q * corner + t]! += length * terms[t]!;
  }

  /** Puts the best place for the collapsed edge into `spot`; returns its error in mm². */
  private place(u: number, v: number): number {
    const q = (t: number): number => this.quadrics[Q * u + t]! + this.quadrics[Q * v + t]!;
    const [aa, ab, ac, ad, bb, bc, bd, cc, cd, dd, weight] = [q(0), q(1), q(2), q(3), q(4), q(5), q(6), q(7), q(8), q(9), q(10)];
    if (weight === 0) return Infinity;
    const error = (x: number, y: number, z: number): number =>
      Math.max(0, (x * (aa * x + 2 * (ab * y + ac * z + ad)) + y * (bb * y + 2 * (bc * z + bd)) + z * (cc * z + 2 * cd) + dd) / weight);
    const p = this.positions;
    const [ux, uy, uz, vx, vy, vz] = [p[3 * u]!, p[3 * u + 1]!, p[3 * u + 2]!, p[3 * v]!, p[3 * v + 1]!, p[3 * v + 2]!];
    const [mx, my, mz] = [(ux + vx) / 2, (uy + vy) / 2, (uz + vz) / 2];
    let least = Infinity;
    const consider = (x: number, y: number, z: number): void => {
      const found = error(x, y, z);
      if (found >= least) return;
      least = found;
      this.spot.set([x, y, z]);
    };
    // The middle first: in a plane, where all places are alike, it keeps the triangles even.
    consider(mx, my, mz);
    consider(ux, uy, uz);
    consider(vx, vy, vz);
    const [c0, c1, c2] = [bb * cc - bc * bc, ac * bc - ab * cc, ab * bc - ac * bb];
    const determinant = aa * c0 + ab * c1 + ac * c2;
    if (determinant > 1e-3 * weight ** 3) {
      const x = -(c0 * ad + c1 * bd + c2 * cd) / determinant;
      const y = -(c1 * ad + (aa * cc - ac * ac) * bd + (ab * ac - aa * bc) * cd) / determinant;
      const z = -(c2 * ad + (ab * ac - aa * bc) * bd + (aa * bb - ab * ab) * cd) / determinant;
      // Not farther than the edge is long.
      if (Math.hypot(x - mx, y - my, z - mz) <= Math.hypot(ux - vx, uy - vy, uz - vz)) consider(x, y, z);
    }
    return least;
  }

  /** Whether the two ends share no neighbours but the two across the edge, and these keep at least three triangles. */
  private keepsShape(u: number, v: number): boolean {
    const mark = ++this.marks;
    this.eachCorner(u, (corner) => {
      this.mark[this.follower(corner, 1)] = mark;
      this.mark[this.follower(corner, 2)] = mark;
    });
    const common: number[] = [];
    // Each neighbour once: as the next corner of one triangle.
    this.eachCorner(v, (corner) => {
      const neighbour = this.follower(corner, 1);
      if (neighbour !== u && this.mark[neighbour] === mark) common.push(neighbour);
    });
    return common.length === 2 && common.every((neighbour) => this.valence(neighbour) > 3);
  }

  /** Whether a triangle at `from` without `other` would turn over or vanish with its corner at `spot`. */
  private turnsOver(from: number, other: number): boolean {
    let turns = false;
    const [px, py, pz] = this.spot as unknown as readonly [number, number, number];
    this.eachCorner(from, (corner) => {
      const [a, b] = [this.follower(corner, 1), this.follower(corner, 2)];
      if (turns || a === other || b === other) return;
      const before = areaVector(this.positions, 3 * from, 3 * a, 3 * b);
      const p = this.positions;
      const [ux, uy, uz] = [p[3 * a]! - px, p[3 * a + 1]! - py, p[3 * a + 2]! - pz];
      const [vx, vy, vz] = [p[3 * b]! - px, p[3 * b + 1]! - py, p[3 * b + 2]! - pz];
      const after = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx] as const;
      const dot = before[0] * after[0] + before[1] * after[1] + before[2] * after[2];
      const [lengthBefore, lengthAfter] = [Math.hypot(...before), Math.hypot(...after)];
      if (!(dot > LEAST_COSINE * lengthBefore * lengthAfter)) turns = true;
    });
    return turns;
  }

  private collapse(u: number, v: number): void {
    this.positions.set(this.spot, 3 * u);
    for (let t = 0; t < Q; t++) this.quadrics[Q * u + t]! += this.quadrics[Q * v + t]!;
    this.eachCorner(v, (corner) => {
      const triangle = Math.floor(corner / 3);
      if (this.follower(corner, 1) === u || this.follower(corner, 2) === u) this.isDead[triangle] = 1;
      else this.triangles[corner] = u;
    });
    // Joins the lists; dead corners are passed over, and dropped here.
    let last = -1;
    const kept: number[] = [];
    for (const start of [this.head[u]!, this.head[v]!]) {
      for (let corner = start; corner !== -1; corner = this.next[corner]!) if (this.isDead[Math.floor(corner / 3)] === 0) kept.push(corner);
    }
    this.head[u] = kept[0] ?? -1;
    for (const corner of kept) {
      if (last !== -1) this.next[last] = corner;
      last = corner;
    }
    if (last !== -1) this.next[last] = -1;
    this.head[v] = -1;
  }

  private valence(vertex: number): number {
    let count = 0;
    this.eachCorner(vertex, () => { count++; });
    return count;
  }

  private eachCorner(vertex: number, visit: (corner: number) => void): void {
    for (let corner = this.head[vertex]!; corner !== -1; corner = this.next[corner]!) if (this.isDead[Math.floor(corner / 3)] === 0) visit(corner);
  }

  /** The vertex one or two corners after this one in its triangle. */
  private follower(corner: number, by: 1 | 2): number {
    const first = corner - (corner % 3);
    return this.triangles[first + ((corner - first + by) % 3)]!;
  }
}
