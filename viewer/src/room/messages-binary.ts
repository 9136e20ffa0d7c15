/**
 * The client's side of the binary frames of the relay protocol streamxr.v1: poses and object moves.
 *
 * docs/protocol.md is the specification. This module and the relay run the same examples,
 * tests/vectors/v1/protocol. Every frame comes from the network, so each field is checked before it is used.
 */

export const VERSION = 1;

const POSE_UP = 1;
const TICK_DOWN = 2;
const OBJECT_MOVES = 3;
const ACK_UP = 4;
const LEFT_VALID = 1;
const RIGHT_VALID = 2;
const FLOAT32 = 4;
const KNOWN_FLAGS = LEFT_VALID | RIGHT_VALID | FLOAT32;

const HEADER_BYTES = 8;
const RECORD_HEADER_BYTES = 4;
const MOVE_HEADER_BYTES = 10;
const POINT_MM_BYTES = 10;
const POINT_F32_BYTES = 16;
/** Metres. Beyond it, neighbouring float32 values are more than 1 mm apart. */
export const MAX_COORDINATE = 10_000;
/** Metres: the largest signed 16-bit number of millimetres. */
const MAX_MM_COORDINATE = 32.767;

/** A message breaks the protocol. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/**
 * A rigid pose: metres and a unit quaternion (x, y, z, w), right-handed, y up, looking down −z as in glTF.
 */
export interface RigidPose {
  readonly position: readonly [number, number, number];
  readonly rotation: readonly [number, number, number, number];
}

/** Head and hands in the room's space; null for a hand that is not tracked. */
export interface BodyPose {
  readonly head: RigidPose;
  readonly left: RigidPose | null;
  readonly right: RigidPose | null;
}

/** One participant's pose in a tick. Its age at `tickMs` was `ageMs`; 255 stands for 255 ms or more. */
export interface PoseRecord {
  readonly pid: number;
  readonly ageMs: number;
  readonly pose: BodyPose;
}

/** One tick of a room. `tickMs` is the relay's clock in milliseconds, modulo 2³². */
export interface Tick {
  readonly tickMs: number;
  readonly records: readonly PoseRecord[];
}

/** The pose of one held object. A move of an older epoch has no effect. */
export interface Move {
  readonly id: number;
  readonly epoch: number;
  readonly ageMs: number;
  readonly pose: RigidPose;
}

/** The objects that moved in one tick. */
export interface Moves {
  readonly tickMs: number;
  readonly records: readonly Move[];
}

/**
 * Encodes the client's own pose: 38 bytes, or 56 if a coordinate is beyond ±32.767 m.
 * @param seq number of the pose, modulo 2¹⁶
 * @param ackTick `tickMs` of the newest tick received, 0 before the first
 * @throws ProtocolError if a number is not finite or a coordinate is beyond ±10 km
 */
export function encodePose(pose: BodyPose, seq: number, ackTick: number): Uint8Array<ArrayBuffer> {
  const points = [pose.head, pose.left, pose.right];
  const float32 = needsFloat32(points.filter((point) => point !== null));
  const flags = (pose.left ? LEFT_VALID : 0) | (pose.right ? RIGHT_VALID : 0) | (float32 ? FLOAT32 : 0);
  const pointBytes = pointBytesOf(float32);
  const frame = new Uint8Array(HEADER_BYTES + 3 * pointBytes);
  const view = new DataView(frame.buffer);
  view.setUint8(0, POSE_UP);
  view.setUint8(1, flags);
  view.setUint16(2, seq & 0xffff, true);
  view.setUint32(4, ackTick >>> 0, true);
  let at = HEADER_BYTES;
  for (const point of points) {
    if (point) writePoint(view, at, point, float32);
    at += pointBytes;
  }
  return frame;
}

/**
 * Encodes the acknowledgement of a tick, for a client that sends no poses: 8 bytes.
 * @param ackTick `tickMs` of the newest tick received
 */
export function encodeAck(ackTick: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEADER_BYTES);
  frame[0] = ACK_UP;
  new DataView(frame.buffer).setUint32(4, ackTick >>> 0, true);
  return frame;
}

/**
 * Decodes the poses of one tick.
 * @throws ProtocolError if the frame is of another type or version, too short or too long, or has unknown
 * flags
 */
export function decodeTick(frame: ArrayBuffer | ArrayBufferView): Tick {
  const view = viewOf(frame);
  if (view.byteLength < HEADER_BYTES || view.getUint8(0) !== TICK_DOWN) {
    throw new ProtocolError("not a tick frame");
  }
  const version = view.getUint8(1);
  if (version !== VERSION) throw new ProtocolError(`tick frame has version ${version}, not ${VERSION}`);
  const count = view.getUint16(2, true);
  const tickMs = view.getUint32(4, true);
  const records: PoseRecord[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    if (at + RECORD_HEADER_BYTES > view.byteLength) throw new ProtocolError("tick frame is cut short");
    const pid = view.getUint16(at, true);
    const flags = view.getUint8(at + 2);
    const ageMs = view.getUint8(at + 3);
    if (flags & ~KNOWN_FLAGS) throw new ProtocolError(`record has unknown flags 0x${flags.toString(16)}`);
    at += RECORD_HEADER_BYTES;
    const float32 = (flags & FLOAT32) !== 0;
    const pointBytes = pointBytesOf(float32);
    if (at + 3 * pointBytes > view.byteLength) throw new ProtocolError("tick frame is cut short");
    const pose: BodyPose = {
      head: readPoint(view, at, float32),
      left: flags & LEFT_VALID ? readPoint(view, at + pointBytes, float32) : null,
      right: flags & RIGHT_VALID ? readPoint(view, at + 2 * pointBytes, float32) : null,
    };
    records.push({ pid, ageMs, pose });
    at += 3 * pointBytes;
  }
  if (at !== view.byteLength)
    throw new ProtocolError(`tick frame has ${view.byteLength - at} bytes too many`);
  return { tickMs, records };
}

/** Whether a binary frame holds object moves. Any other frame is a tick, or malformed. */
export function holdsMoves(frame: ArrayBuffer | ArrayBufferView): boolean {
  return frame.byteLength > 0 && viewOf(frame).getUint8(0) === OBJECT_MOVES;
}

/**
 * Encodes the poses of objects that the client holds.
 * @param moves at most 16
 * @param ackTick `tickMs` of the newest tick received, 0 before the first
 * @throws ProtocolError if a number is not finite or a coordinate is beyond ±10 km
 */
export function encodeMoves(moves: readonly Omit<Move, "ageMs">[], ackTick: number): Uint8Array<ArrayBuffer> {
  const layouts = moves.map(({ pose }) => needsFloat32([pose]));
  const bytes = layouts.reduce(
    (sum, float32) => sum + MOVE_HEADER_BYTES + pointBytesOf(float32),
    HEADER_BYTES,
  );
  const frame = new Uint8Array(bytes);
  const view = new DataView(frame.buffer);
  view.setUint8(0, OBJECT_MOVES);
  view.setUint8(1, VERSION);
  view.setUint16(2, moves.length, true);
  view.setUint32(4, ackTick >>> 0, true);
  let at = HEADER_BYTES;
  moves.forEach(({ id, epoch, pose }, i) => {
    const float32 = layouts[i] === true;
    view.setUint32(at, id, true);
    view.setUint32(at + 4, epoch, true);
    view.setUint8(at + 8, float32 ? FLOAT32 : 0);
    writePoint(view, at + MOVE_HEADER_BYTES, pose, float32);
    at += MOVE_HEADER_BYTES + pointBytesOf(float32);
  });
  return frame;
}

/**
 * Decodes the object moves of one tick.
 * @throws ProtocolError if the frame is of another type or version, too short or too long, or has unknown
 * flags
 */
export function decodeMoves(frame: ArrayBuffer | ArrayBufferView): Moves {
  const view = viewOf(frame);
  if (view.byteLength < HEADER_BYTES || view.getUint8(0) !== OBJECT_MOVES) {
    throw new ProtocolError("not a frame of object moves");
  }
  const version = view.getUint8(1);
  if (version !== VERSION) throw new ProtocolError(`object moves have version ${version}, not ${VERSION}`);
  const count = view.getUint16(2, true);
  const tickMs = view.getUint32(4, true);
  const records: Move[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const point = at + MOVE_HEADER_BYTES;
    if (point > view.byteLength) throw new ProtocolError("object moves are cut short");
    const flags = view.getUint8(at + 8);
    if (flags & ~FLOAT32) throw new ProtocolError(`a move has unknown flags 0x${flags.toString(16)}`);
    const float32 = flags !== 0;
    const end = point + pointBytesOf(float32);
    if (end > view.byteLength) throw new ProtocolError("object moves are cut short");
    records.push({
      id: view.getUint32(at, true),
      epoch: view.getUint32(at + 4, true),
      ageMs: view.getUint8(at + 9),
      pose: readPoint(view, point, float32),
    });
    at = end;
  }
  if (at !== view.byteLength)
    throw new ProtocolError(`object moves have ${view.byteLength - at} bytes too many`);
  return { tickMs, records };
}

/**
 * Packs a quaternion of any length into 32 bits by "smallest three": the top two bits name the component of
 * largest magnitude (0 x … 3 w; the first of equals), which is made positive and left out. The other three
 * follow in order with 10 bits each; −1/√2 … 1/√2 becomes 0 … 1023. A quaternion of length zero packs as the
 * identity. Source: docs/protocol.md; Fiedler, Snapshot Compression, 2015.
 */
export function packQuaternion(rotation: readonly [number, number, number, number]): number {
  let q = rotation;
  let length = Math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  if (!(length > 0) || !Number.isFinite(length)) {
    q = [0, 0, 0, 1];
    length = 1;
  }
  let largest: 0 | 1 | 2 | 3 = 0;
  for (const i of [1, 2, 3] as const) if (Math.abs(q[i]) > Math.abs(q[largest])) largest = i;
  const scale = ((q[largest] < 0 ? -1 : 1) * Math.SQRT2) / length;
  let packed: number = largest;
  for (const i of [0, 1, 2, 3] as const) {
    if (i === largest) continue;
    const step = Math.floor((q[i] * scale + 1) * 0.5 * 1023 + 0.5);
    packed = (packed << 10) | Math.min(Math.max(step, 0), 1023);
  }
  return packed >>> 0;
}

/** Inverse of `packQuaternion`. Every 32-bit number gives a unit quaternion. */
export function unpackQuaternion(packed: number): [number, number, number, number] {
  const small = [20, 10, 0].map((shift) => ((((packed >>> shift) & 1023) / 1023) * 2 - 1) * Math.SQRT1_2);
  const rest = Math.sqrt(Math.max(0, 1 - small.reduce((sum, c) => sum + c * c, 0)));
  small.splice(packed >>> 30, 0, rest);
  const length = Math.sqrt(small.reduce((sum, c) => sum + c * c, 0));
  const [x = 0, y = 0, z = 0, w = 1] = small.map((c) => c / length);
  return [x, y, z, w];
}

function viewOf(frame: ArrayBuffer | ArrayBufferView): DataView {
  return frame instanceof ArrayBuffer
    ? new DataView(frame)
    : new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

function pointBytesOf(float32: boolean): number {
  return float32 ? POINT_F32_BYTES : POINT_MM_BYTES;
}

/**
 * Whether a coordinate does not fit 16 bits of millimetres.
 * @throws ProtocolError if a number is not finite or a coordinate is beyond ±10 km
 */
function needsFloat32(points: readonly RigidPose[]): boolean {
  let reach = 0;
  for (const { position, rotation } of points) {
    for (const x of [...position, ...rotation]) {
      if (!Number.isFinite(x)) throw new ProtocolError("a pose has a number that is not finite");
    }
    reach = Math.max(reach, ...position.map(Math.abs));
  }
  if (reach > MAX_COORDINATE) throw new ProtocolError(`a pose is ${reach} m from the room's origin`);
  return toMillimetres(reach) > MAX_MM_COORDINATE * 1000;
}

function toMillimetres(metres: number): number {
  return Math.floor(metres * 1000 + 0.5);
}

function writePoint(view: DataView, at: number, point: RigidPose, float32: boolean): void {
  point.position.forEach((x, i) => {
    if (float32) view.setFloat32(at + 4 * i, x, true);
    else view.setInt16(at + 2 * i, Math.max(toMillimetres(x), -MAX_MM_COORDINATE * 1000), true);
  });
  view.setUint32(at + (float32 ? 12 : 6), packQuaternion(point.rotation), true);
}

function readPoint(view: DataView, at: number, float32: boolean): RigidPose {
  const x = (i: number) =>
    float32 ? coordinate(view.getFloat32(at + 4 * i, true)) : view.getInt16(at + 2 * i, true) / 1000;
  return {
    position: [x(0), x(1), x(2)],
    rotation: unpackQuaternion(view.getUint32(at + (float32 ? 12 : 6), true)),
  };
}

function coordinate(x: number): number {
  if (!(Math.abs(x) <= MAX_COORDINATE)) throw new ProtocolError(`coordinate ${x} is out of range`);
  return x;
}
