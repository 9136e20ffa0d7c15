import {
  CubeTexture,
  DataTexture,
  DataUtils,
  HalfFloatType,
  LinearFilter,
  LinearMipmapLinearFilter,
  RGBAFormat,
} from "three";

/**
 * Pixels along a face of the sharpest level; each further level has half. The smallest that is read has 8.
 */
const FACE = 64;
const LEVELS = 4;

/**
 * A soft lamp as a spherical Gaussian: radiance · exp(sharpness · (cos(angle) − 1)). It is grey, since a
 * colour would tint all assets.
 */
interface Lamp {
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly radiance: number;
  readonly sharpness: number;
}

const LAMPS: readonly Lamp[] = [
  lamp(-0.5, 0.75, 0.62, 7.5, 26), // key, on the side of the sun
  lamp(-0.72, 0.62, 0.3, 3.5, 40),
  lamp(0.96, 0.25, 0.25, 2.4, 16), // fill
  lamp(-0.4, 0.5, -0.8, 3.6, 30), // rim light from behind: a strip of three
  lamp(0, 0.52, -0.86, 3.6, 30),
  lamp(0.4, 0.5, -0.8, 3.6, 30),
];
/**
 * The grey room: its radiance at the horizon, and the difference at zenith (added) and nadir (subtracted).
 */
const ROOM = 0.52;
const ROOM_SLOPE = 0.3;

/**
 * The light of a neutral photo studio as a prefiltered environment for `scene.environment`.
 *
 * three.js would render a scene and filter it on the GPU with 256 samples per texel. Without a fast GPU this
 * takes two seconds, in which nothing can be drawn. This studio consists of some spherical Gaussians and a
 * gradient, and their convolution with a reflection lobe has a closed form (Wang et al. 2009, All-Frequency
 * Rendering of Dynamic, Spatially-Varying Reflectance, §4), which takes some milliseconds on any CPU. The
 * levels follow PMREMGenerator: level l of L has roughness 1 − √(1 − l/L), and the last is the irradiance ÷
 * π.
 */
export function studioLight(): CubeTexture {
  const texture = new CubeTexture();
  texture.image = faces(FACE, 0);
  // One more level than is read: three.js counts the first one as a mipmap only in rendered maps.
  const mipmaps = Array.from({ length: LEVELS }, (_, i) => {
    const level = new CubeTexture();
    level.image = faces(FACE >> (i + 1), Math.min(i + 1, LEVELS - 1));
    return level;
  });
  (texture as { mipmaps: unknown[] }).mipmaps = mipmaps;
  (texture as { isPMREMTexture?: boolean }).isPMREMTexture = true;
  texture.format = RGBAFormat;
  texture.type = HalfFloatType;
  texture.minFilter = LinearMipmapLinearFilter;
  texture.magFilter = LinearFilter;
  texture.generateMipmaps = false;
  texture.needsUpdate = true;
  return texture;
}

function faces(size: number, level: number): DataTexture[] {
  const last = LEVELS - 1;
  const roughness = 1 - Math.sqrt(1 - level / last);
  const lamps = LAMPS.map((each) => widen(each, roughness));
  const slope = ROOM_SLOPE * gradientFactor(lobeSharpness(roughness));
  return Array.from({ length: 6 }, (_, face) => {
    const texels = new Uint16Array(size * size * 4);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const s = (2 * (column + 0.5)) / size - 1;
        const t = (2 * (row + 0.5)) / size - 1;
        const [dx, y, z] = direction(face, s, t);
        const x = -dx; // three.js mirrors x in cube maps that are not render targets
        const length = Math.hypot(x, y, z);
        let radiance = ROOM + slope * (y / length);
        for (const each of lamps) {
          const cosine = (each.x * x + each.y * y + each.z * z) / length;
          radiance += each.radiance * Math.exp(each.sharpness * (cosine - 1));
        }
        const at = (row * size + column) * 4;
        // Slightly blue above and warm below: pure grey light would make white look like plaster.
        const warmth = -0.012 * (y / length);
        texels[at] = DataUtils.toHalfFloat(radiance * (1 + warmth));
        texels[at + 1] = DataUtils.toHalfFloat(radiance);
        texels[at + 2] = DataUtils.toHalfFloat(radiance * (1 - warmth));
        texels[at + 3] = DataUtils.toHalfFloat(1);
      }
    }
    return new DataTexture(texels, size, size, RGBAFormat, HalfFloatType);
  });
}

/** Direction of a texel in OpenGL's order of faces: +x −x +y −y +z −z; s goes right, t down. */
function direction(face: number, s: number, t: number): [number, number, number] {
  switch (face) {
    case 0:
      return [1, -t, -s];
    case 1:
      return [-1, -t, s];
    case 2:
      return [s, 1, t];
    case 3:
      return [s, -1, -t];
    case 4:
      return [s, -t, 1];
    default:
      return [-s, -t, -1];
  }
}

/**
 * Sharpness of a surface's reflection lobe: GGX's 2/α² about the half vector, which is a quarter of it about
 * the reflected ray, times a clamped cosine with a sharpness of about 2.1. Only the cosine remains for
 * diffuse light.
 */
function lobeSharpness(roughness: number): number {
  const alpha = Math.max(0.01, roughness * roughness);
  return 2.1 + 0.5 / (alpha * alpha) - 0.5;
}

/** Convolves a lamp with a reflection lobe: it becomes wider and keeps its power. */
function widen(source: Lamp, roughness: number): Lamp {
  const lobe = lobeSharpness(roughness);
  const sharpness = (source.sharpness * lobe) / (source.sharpness + lobe);
  return { ...source, sharpness, radiance: (source.radiance * power(source.sharpness)) / power(sharpness) };
}

/** Integral of exp(λ(cos − 1)) over the sphere ÷ 2π. */
function power(sharpness: number): number {
  return (1 - Math.exp(-2 * sharpness)) / sharpness;
}

/** Factor of a linear gradient after the convolution with a lobe: coth(λ) − 1/λ. */
function gradientFactor(sharpness: number): number {
  return 1 / Math.tanh(sharpness) - 1 / sharpness;
}

function lamp(x: number, y: number, z: number, radiance: number, sharpness: number): Lamp {
  const length = Math.hypot(x, y, z);
  return { x: x / length, y: y / length, z: z / length, radiance, sharpness };
}
