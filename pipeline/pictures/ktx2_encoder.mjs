// Reads RGBA pixels from standard input and writes a KTX2 file with mipmaps to standard output.
// Arguments: the folder of npm's ktx2-encoder, and [width, height, role] as JSON.
// ktx2.py gives the reason for each codec.

import { buffer } from "node:stream/consumers";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const ETC1S_QUALITY = 192; // of 255: fewer visible blocks on gradients than 128, for a fifth more bytes
const ETC1S_EFFORT = 1; // higher values take longer and save a few per cent
const UASTC_EFFORT = 1; // of 4; rate-distortion optimisation would save a quarter of the bytes and take ten times as long
const RAW_RGBA = 0;

console.log = console.error; // the encoder's messages must not mix with the file

const [folder, about] = process.argv.slice(2);
const [width, height, role] = JSON.parse(about);
const pixels = new Uint8Array(await buffer(process.stdin));
const { NodeBasisEncoder } = await import(pathToFileURL(path.join(folder, "dist/node/index.js")).href);
const { BasisEncoder } = await new NodeBasisEncoder().init();

const encoder = new BasisEncoder();
const color = role === "color";
encoder.setCreateKTX2File(true);
encoder.setUASTC(!color);
if (role === "normal") encoder.setNormalMapPreset();
if (color) {
  encoder.setQualityLevel(ETC1S_QUALITY);
  encoder.setETC1SCompressionLevel(ETC1S_EFFORT);
} else {
  encoder.setPackUASTCFlags(UASTC_EFFORT);
  encoder.setKTX2UASTCSupercompression(true);
}
encoder.setPerceptual(color);
encoder.setKTX2AndBasisSRGBTransferFunc(color);
encoder.setMipGen(true);
encoder.setMipSRGB(color);
encoder.setMipRenormalize(role === "normal");
if (!encoder.setSliceSourceImage(0, pixels, width, height, RAW_RGBA)) throw new Error("the encoder refused the picture");
const file = new Uint8Array(width * height * 8 + 65536); // twice the size of the pixels: more than any mode needs
const length = encoder.encode(file);
if (length === 0) throw new Error("the encoder wrote nothing");
process.stdout.write(file.subarray(0, length));
