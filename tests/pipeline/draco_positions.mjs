// Decodes Draco streams with Draco's own JavaScript decoder. Reads file names from standard input, one on each line.
// Prints for each file the SHA-256 of its float32 positions and uint32 triangles, in stream order.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../viewer/package.json", import.meta.url));
const draco = await require("draco3dgltf").createDecoderModule({});
for (const file of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const bytes = readFileSync(file);
  const decoder = new draco.Decoder();
  const mesh = new draco.Mesh();
  const status = decoder.DecodeArrayToMesh(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length), bytes.length, mesh);
  if (!status.ok()) throw new Error(status.error_msg());
  const position = decoder.GetAttribute(mesh, decoder.GetAttributeId(mesh, draco.POSITION));
  const length = mesh.num_points() * 3 * 4;
  const positions = draco._malloc(length);
  decoder.GetAttributeDataArrayForAllPoints(mesh, position, draco.DT_FLOAT32, length, positions);
  const indexBytes = mesh.num_faces() * 3 * 4;
  const indices = draco._malloc(indexBytes);
  decoder.GetTrianglesUInt32Array(mesh, indexBytes, indices);
  const hash = createHash("sha256");
  hash.update(new Uint8Array(draco.HEAPF32.buffer, positions, length));
  hash.update(new Uint8Array(draco.HEAPF32.buffer, indices, indexBytes));
  console.log(hash.digest("hex"));
}
