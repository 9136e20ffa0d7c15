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
import type { Profile } from "../room/messages.ts";
import type { BodyPose, RigidPose } from "../room/messages-binary.ts";
import { Playback, type RelayClock } from "../room/playback.ts";

/**
 * Metres. A head closer than this to the eye is not drawn, or the visitor would look out through its inside.
 */
const MIN_EYE_DISTANCE = 0.35;
const HEAD_RADIUS = 0.115;
/** A head is a sphere, scaled along each axis. */
const HEAD_SHAPE = new Vector3(0.93, 1.12, 1);
/** Height of a name label, and its distance above the head, metres. */
const LABEL_SIZE = 0.075;
/** Characters of a shown name. */
const NAME_LENGTH = 32;
/** Opacity of participants whose connection is lost. */
const AWAY_OPACITY = 0.3;

/**
 * The other participants of the room, each with a head, a visor, two hands and a name. An avatar exists from
 * `join` to `leave`; poses of other pids are ignored.
 */
export class Avatars extends Group {
  readonly #byPid = new Map<number, Avatar>();
  readonly #clock: RelayClock;

  constructor(clock: RelayClock) {
    super();
    this.#clock = clock;
    this.name = "avatars";
  }

  /** Adds a participant, or changes a known one, who stays in place. Participants who are away are faded. */
  join(profile: Profile): void {
    const before = this.#byPid.get(profile.pid);
    this.leave(profile.pid);
    const avatar = new Avatar(profile, before?.playback);
    this.#byPid.set(profile.pid, avatar);
    this.add(avatar);
  }

  leave(pid: number): void {
    const avatar = this.#byPid.get(pid);
    if (!avatar) return;
    this.#byPid.delete(pid);
    this.remove(avatar);
    avatar.dispose();
  }

  /** Takes one participant's pose. `at` is the relay's clock, milliseconds. */
  addPose(pid: number, pose: BodyPose, at: number): void {
    this.#byPid.get(pid)?.playback.add(pose, at);
  }

  /**
   * Moves all avatars to their played-back poses.
   * @param now local clock, milliseconds
   * @param eye the visitor's own eye, in this group's parent space
   */
  update(now: number, eye: Vector3): void {
    const clock = this.#clock.read(now);
    if (clock === null) return;
    for (const avatar of this.#byPid.values()) avatar.update(clock, eye);
  }
}

class Avatar extends Group {
  readonly head = new Group();
  readonly playback: Playback<BodyPose>;
  readonly #left: Mesh;
  readonly #right: Mesh;
  readonly #label: Sprite;
  readonly #resources: { dispose(): void }[];

  constructor({ name, color, away }: Profile, playback = new Playback<BodyPose>()) {
    super();
    this.playback = playback;
    this.name = name;
    // Invisible until the first pose.
    this.visible = false;
    const tint = parseColor(color);
    // A shade lighter than the colour itself, so that it looks like glossy paint and not like plastic.
    const shell = new MeshStandardMaterial({ color: tint.clone().lerp(WHITE, 0.16), roughness: 0.36 });
    const glass = new MeshStandardMaterial({ color: 0x10161d, roughness: 0.08, metalness: 0.35 });
    const skull = new SphereGeometry(HEAD_RADIUS, 40, 28).scale(...HEAD_SHAPE.toArray());
    const visor = visorGeometry();
    const hand = handGeometry();
    this.head.add(new Mesh(skull, shell), new Mesh(visor, glass));
    this.#left = new Mesh(hand, shell);
    this.#right = new Mesh(hand, shell);
    // The left hand is the mirror image of the right one.
    this.#left.scale.x = -1;
    this.#label = nameLabel(name, tint);
    this.add(this.head, this.#left, this.#right, this.#label);
    this.traverse((object) => {
      if (object instanceof Mesh) object.castShadow = !away;
    });
    const labelMaterial = this.#label.material;
    for (const material of away ? [shell, glass, labelMaterial] : []) fade(material);
    this.#resources = [shell, glass, skull, visor, hand, labelMaterial];
    if (labelMaterial.map) this.#resources.push(labelMaterial.map);
  }

  /**
   * @param clock relay's clock, milliseconds
   * @param eye the visitor's own eye
   */
  update(clock: number, eye: Vector3): void {
    const played = this.playback.read(clock);
    if (!played) return;
    const { from, to, t } = played;
    interpolatePose(this.head, from.head, to.head, t);
    updateHand(this.#left, from.left, to.left, t);
    updateHand(this.#right, from.right, to.right, t);
    this.#label.position.copy(this.head.position);
    this.#label.position.y += HEAD_RADIUS * HEAD_SHAPE.y + LABEL_SIZE;
    this.visible = this.head.position.distanceToSquared(eye) > MIN_EYE_DISTANCE * MIN_EYE_DISTANCE;
  }

  override dispose(): void {
    for (const resource of this.#resources) resource.dispose();
  }
}

const WHITE = new Color(0xffffff);
const p0 = new Vector3();
const p1 = new Vector3();
const q0 = new Quaternion();
const q1 = new Quaternion();

/** Places an object between two poses. Positions continue past t = 1; rotations stop there. */
export function interpolatePose(object: Object3D, from: RigidPose, to: RigidPose, t: number): void {
  p0.set(...from.position);
  p1.set(...to.position);
  object.position.lerpVectors(p0, p1, t);
  q0.set(...from.rotation);
  q1.set(...to.rotation);
  // A rotation past its end would wobble.
  object.quaternion.slerpQuaternions(q0, q1, Math.min(1, t));
}

function updateHand(hand: Mesh, from: RigidPose | null, to: RigidPose | null, t: number): void {
  hand.visible = to !== null;
  if (to) interpolatePose(hand, from ?? to, to, t);
}

function fade(material: Material): void {
  material.transparent = true;
  material.opacity = AWAY_OPACITY;
}

/** A `#rrggbb` colour; grey if it is malformed. */
export function parseColor(css: string): Color {
  // three.js would log a warning for a malformed colour and keep white.
  return /^#[0-9a-f]{6}$/i.test(css) ? new Color(css) : new Color(0x9aa5b1);
}

/**
 * A band of glass around the front (−z) of the head: a superellipse in azimuth and elevation on the ellipsoid
 * of the skull. Its rim sinks into the skull, so that the edge looks round.
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
        Math.sin(azimuth) * Math.cos(elevation) * out * HEAD_SHAPE.x,
        Math.sin(elevation) * out * HEAD_SHAPE.y,
        -Math.cos(azimuth) * Math.cos(elevation) * out * HEAD_SHAPE.z,
      );
      if (ring === 0) continue;
      const a = (ring - 1) * SPOKES + spoke;
      const b = (ring - 1) * SPOKES + ((spoke + 1) % SPOKES);
      indices.push(a, a + SPOKES, b, b, a + SPOKES, b + SPOKES);
    }
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new Float32BufferAttribute(positions, 3));
  // From outside (−z), azimuth runs to the left: reverse the order, so that the faces point outwards.
  geometry.setIndex(indices.reverse());
  geometry.computeVertexNormals();
  return geometry;
}

/** A right hand like a mitten: a flat palm along −z and a thumb at −x. */
function handGeometry(): BufferGeometry {
  const palm = new CapsuleGeometry(0.034, 0.055, 8, 20).rotateX(Math.PI / 2).scale(1.05, 0.62, 1);
  palm.translate(0, 0, -0.03);
  const thumb = new CapsuleGeometry(0.0145, 0.034, 6, 14).rotateX(Math.PI / 2).rotateY(0.65);
  thumb.translate(-0.038, 0.004, -0.022);
  return mergeGeometries(palm, thumb);
}

/** Merges two indexed geometries, and disposes of them. */
function mergeGeometries(a: BufferGeometry, b: BufferGeometry): BufferGeometry {
  const merged = new BufferGeometry();
  for (const name of ["position", "normal"]) {
    const [first, second] = [a.getAttribute(name).array, b.getAttribute(name).array];
    merged.setAttribute(name, new Float32BufferAttribute([...first, ...second], 3));
  }
  const firstOfB = a.getAttribute("position").count;
  merged.setIndex([
    ...(a.index?.array ?? []),
    ...Array.from(b.index?.array ?? [], (index) => index + firstOfB),
  ]);
  a.dispose();
  b.dispose();
  return merged;
}

/**
 * A rounded box with the name, which faces the viewer. The name is untrusted: it is cut and drawn, never
 * parsed.
 */
function nameLabel(name: string, tint: Color): Sprite {
  const shown = [...(name.trim() || "guest")].slice(0, NAME_LENGTH).join("");
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const height = 64;
  let width = height;
  if (context) {
    const font = '500 32px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
    context.font = font;
    width = Math.ceil(context.measureText(shown).width) + 84;
    canvas.width = width;
    canvas.height = height;
    context.font = font; // a canvas loses it when its size changes
    context.fillStyle = "rgba(22, 30, 40, 0.78)";
    context.beginPath();
    context.roundRect(4, 6, width - 8, height - 12, (height - 12) / 2);
    context.fill();
    context.fillStyle = `#${tint.getHexString()}`;
    context.beginPath();
    context.arc(36, height / 2, 8, 0, Math.PI * 2);
    context.fill();
    context.fillStyle = "#ffffff";
    context.textBaseline = "middle";
    context.fillText(shown, 56, height / 2 + 1);
  }
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  texture.minFilter = LinearFilter;
  texture.generateMipmaps = false;
  const label = new Sprite(new SpriteMaterial({ map: texture, depthWrite: false, toneMapped: false }));
  label.name = "label";
  label.scale.set((LABEL_SIZE * width) / height, LABEL_SIZE, 1);
  return label;
}
