import {
  BufferGeometry,
  CanvasTexture,
  CapsuleGeometry,
  Color,
  Float32BufferAttribute,
  Group,
  LinearFilter,
  type Material,
  Mesh,
  MeshStandardMaterial,
  type Object3D,
  Quaternion,
  SphereGeometry,
  Sprite,
  SpriteMaterial,
  SRGBColorSpace,
  Vector3,
} from "three";
import type { BodyPose, RigidPose } from "../room/messages-binary.ts";
import { Playback, type RelayClock } from "../room/playback.ts";

/** Metres. A head this close to one's own eye is not drawn: one would look out through its inside. */
const TOO_CLOSE = 0.35;

const HEAD_RADIUS = 0.115;
const NAME_LENGTH = 32;
/** Of somebody whose line is lost. */
const AWAY_OPACITY = 0.3;

/**
 * The other people in the room: a head with a visor, two hands and a name each. An avatar exists from
 * `join` to `leave`; a pose of somebody who never joined is ignored, so there are no ghosts.
 */
export class Avatars extends Group {
  private readonly people = new Map<number, Avatar>();

  /** @param clock the relay's, as its ticks tell it */
  constructor(private readonly clock: RelayClock) {
    super();
    this.name = "avatars";
  }

  /**
   * Adds a participant, or changes one who is there and stays where they are. `color` is CSS; a bad one turns grey. Who
   * is `away` is faded.
   */
  join({ pid, name, color, away }: Person): void {
    const before = this.people.get(pid);
    this.leave(pid);
    const avatar = new Avatar(pid, name, color, away, before?.playback);
    this.people.set(pid, avatar);
    this.add(avatar);
  }

  leave(pid: number): void {
    const avatar = this.people.get(pid);
    if (!avatar) return;
    this.people.delete(pid);
    this.remove(avatar);
    avatar.dispose();
  }

  /** Takes one participant's pose out of a tick. `at`: the relay's clock, milliseconds. */
  pose(pid: number, pose: BodyPose, at: number): void {
    this.people.get(pid)?.playback.take(pose, at);
  }

  /**
   * Moves everyone to where they were a moment ago.
   * @param now local clock, milliseconds
   * @param eye the own eye, in this group's parent space
   */
  update(now: number, eye: Vector3): void {
    const clock = this.clock.read(now);
    if (clock === null) return;
    for (const avatar of this.people.values()) avatar.show(clock, eye);
  }

  override dispose(): void {
    for (const pid of [...this.people.keys()]) this.leave(pid);
    this.removeFromParent();
  }
}

interface Person {
  readonly pid: number;
  readonly name: string;
  readonly color: string;
  readonly away: boolean;
}

class Avatar extends Group {
  readonly head = new Group();
  private readonly left: Mesh;
  private readonly right: Mesh;
  private readonly label: Sprite;
  private readonly release: (() => void)[] = [];

  constructor(
    readonly pid: number,
    name: string,
    color: string,
    readonly away: boolean,
    readonly playback = new Playback<BodyPose>(),
  ) {
    super();
    this.name = name;
    // Nobody is drawn before the first pose says where.
    this.visible = false;
    const tint = readColor(color);
    // A shade lighter than the colour itself: glossy paint, not plastic.
    const shell = new MeshStandardMaterial({ color: tint.clone().lerp(WHITE, 0.16), roughness: 0.36 });
    const glass = new MeshStandardMaterial({ color: 0x10161d, roughness: 0.08, metalness: 0.35 });
    for (const material of away ? [shell, glass] : []) fade(material);
    const skull = new SphereGeometry(HEAD_RADIUS, 40, 28).scale(0.93, 1.12, 1);
    const visor = visorGeometry();
    const hand = handGeometry();
    this.head.add(new Mesh(skull, shell), new Mesh(visor, glass));
    this.left = new Mesh(hand, shell);
    this.right = new Mesh(hand, shell);
    // One geometry for both: the left hand is the mirror image.
    this.left.scale.x = -1;
    this.label = nameLabel(name, tint);
    if (away) fade(this.label.material);
    this.add(this.head, this.left, this.right, this.label);
    for (const part of [shell, glass, skull, visor, hand]) this.release.push(() => part.dispose());
    this.release.push(() => {
      this.label.material.map?.dispose();
      this.label.material.dispose();
    });
    this.traverse((object) => {
      if (object instanceof Mesh) object.castShadow = !away;
    });
  }

  show(clock: number, eye: Vector3): void {
    const played = this.playback.read(clock);
    if (!played) return;
    const { from, to, t } = played;
    blend(this.head, from.head, to.head, t);
    blendHand(this.left, from.left, to.left, t);
    blendHand(this.right, from.right, to.right, t);
    this.label.position.copy(this.head.position);
    this.label.position.y += HEAD_RADIUS * 1.12 + 0.075;
    this.visible = this.head.position.distanceToSquared(eye) > TOO_CLOSE * TOO_CLOSE;
  }

  override dispose(): void {
    for (const free of this.release) free();
  }
}

const WHITE = new Color(0xffffff);
const p0 = new Vector3();
const p1 = new Vector3();
const q0 = new Quaternion();
const q1 = new Quaternion();

/** Puts something between two poses; past 1 it is carried on. */
export function blend(object: Object3D, from: RigidPose, to: RigidPose, t: number): void {
  p0.set(...from.position);
  p1.set(...to.position);
  object.position.lerpVectors(p0, p1, t);
  q0.set(...from.rotation);
  q1.set(...to.rotation);
  // Positions may coast; a rotation past its end would only wobble.
  object.quaternion.slerpQuaternions(q0, q1, Math.min(1, t));
}

function blendHand(hand: Mesh, from: RigidPose | null, to: RigidPose | null, t: number): void {
  hand.visible = to !== null;
  if (to) blend(hand, from ?? to, to, t);
}

function fade(material: Material): void {
  material.transparent = true;
  material.opacity = AWAY_OPACITY;
}

export function readColor(css: string): Color {
  // three.js warns and leaves the colour alone when it cannot read one; only #rrggbb comes from the relay.
  return /^#[0-9a-f]{6}$/i.test(css) ? new Color(css) : new Color(0x9aa5b1);
}

/**
 * A band of glass around the front (−z) of the head: a superellipse in azimuth and elevation, laid on the
 * ellipsoid of the skull and sunk into it at the rim, which rounds its edge.
 */
function visorGeometry(): BufferGeometry {
  const RINGS = 12;
  const SPOKES = 64;
  const positions: number[] = [];
  const indices: number[] = [];
  for (let ring = 0; ring <= RINGS; ring++) {
    const r = ring / RINGS;
    for (let spoke = 0; spoke < SPOKES; spoke++) {
      const angle = (spoke / SPOKES) * Math.PI * 2;
      const x = Math.sign(Math.cos(angle)) * Math.abs(Math.cos(angle)) ** 0.55;
      const y = Math.sign(Math.sin(angle)) * Math.abs(Math.sin(angle)) ** 0.55;
      const azimuth = x * r * 1.16;
      const elevation = 0.1 + y * r * 0.36;
      const out = HEAD_RADIUS * (1.045 - 0.065 * r ** 8);
      positions.push(
        Math.sin(azimuth) * Math.cos(elevation) * out * 0.93,
        Math.sin(elevation) * out * 1.12,
        -Math.cos(azimuth) * Math.cos(elevation) * out,
      );
      if (ring === 0) continue;
      const a = (ring - 1) * SPOKES + spoke;
      const b = (ring - 1) * SPOKES + ((spoke + 1) % SPOKES);
      indices.push(a, a + SPOKES, b, b, a + SPOKES, b + SPOKES);
    }
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new Float32BufferAttribute(positions, 3));
  // Seen from outside (−z), azimuth runs leftwards: reverse, so that the faces look out.
  geometry.setIndex(indices.reverse());
  geometry.computeVertexNormals();
  return geometry;
}

/** A mitten: a flat palm along −z and a thumb on the inside (the right hand's, at −x). */
function handGeometry(): BufferGeometry {
  const palm = new CapsuleGeometry(0.034, 0.055, 8, 20).rotateX(Math.PI / 2).scale(1.05, 0.62, 1);
  palm.translate(0, 0, -0.03);
  const thumb = new CapsuleGeometry(0.0145, 0.034, 6, 14).rotateX(Math.PI / 2).rotateY(0.65);
  thumb.translate(-0.038, 0.004, -0.022);
  return join(palm, thumb);
}

function join(a: BufferGeometry, b: BufferGeometry): BufferGeometry {
  const joined = new BufferGeometry();
  for (const name of ["position", "normal"]) {
    const [first, second] = [a.getAttribute(name).array, b.getAttribute(name).array];
    joined.setAttribute(name, new Float32BufferAttribute([...first, ...second], 3));
  }
  const shift = a.getAttribute("position").count;
  joined.setIndex([...(a.index?.array ?? []), ...Array.from(b.index?.array ?? [], (index) => index + shift)]);
  a.dispose();
  b.dispose();
  return joined;
}

/** A pill with the name, always facing the viewer. The name is untrusted: it is cut and drawn, never parsed. */
function nameLabel(name: string, tint: Color): Sprite {
  const shown = [...(name.trim() || "guest")].slice(0, NAME_LENGTH).join("");
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const high = 64;
  let wide = high;
  if (pen) {
    const font = '500 32px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
    pen.font = font;
    wide = Math.ceil(pen.measureText(shown).width) + 84;
    canvas.width = wide;
    canvas.height = high;
    pen.font = font; // resizing a canvas forgets it
    pen.fillStyle = "rgba(22, 30, 40, 0.78)";
    pen.beginPath();
    pen.roundRect(4, 6, wide - 8, high - 12, (high - 12) / 2);
    pen.fill();
    pen.fillStyle = `#${tint.getHexString()}`;
    pen.beginPath();
    pen.arc(36, high / 2, 8, 0, Math.PI * 2);
    pen.fill();
    pen.fillStyle = "#ffffff";
    pen.textBaseline = "middle";
    pen.fillText(shown, 56, high / 2 + 1);
  }
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  texture.minFilter = LinearFilter;
  texture.generateMipmaps = false;
  const label = new Sprite(new SpriteMaterial({ map: texture, depthWrite: false, toneMapped: false }));
  label.name = "label";
  label.scale.set((0.075 * wide) / high, 0.075, 1);
  return label;
}
