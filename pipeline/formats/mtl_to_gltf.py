"""Convert the materials of an MTL library and their pictures to glTF."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import PurePosixPath

from PIL import Image

from ..errors import ModelError
from ..gltf.document import TEXTURE_TRANSFORM, Json
from ..pictures.codec import MAX_PIXELS
from .mtl import MtlMaterial, parse_materials
from .translated import Translated

# Pictures in other formats become PNG, the one lossless format that glTF has.
_GLTF_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
_GLTF_FORMATS = ("PNG", "JPEG", "WEBP")
_OTHER_FORMATS = ("TGA", "BMP", "TIFF", "GIF")
# Normals point outwards, so that the mean colour of a normal map is blue; height maps are grey.
MIN_BLUE = 0.7
MAX_RED_GREEN = 0.6
CUT_OUT = 0.98  # an opacity picture with a larger share of black and white is a mask, not a blend
END_CODES = 8  # of 256, at each end, that count as black or white


def add_materials(library: bytes, title: str, pictures: Mapping[str, bytes], result: Translated) -> None:
    """Add the materials of a library to `result`.

    title: the name of the library, for errors. pictures: the content of each path from `mtl.picture_names`.
    Raises ModelError with library and line.
    """
    materials, left_out = parse_materials(library, title)
    for material in materials:
        result.materials.append(_Conversion(material, pictures, result).gltf_material())
    if left_out:
        result.notes.append(f"{title}: left out, since glTF has no counterpart: {', '.join(sorted(left_out))}")


class _Conversion:
    """One material on its way to glTF. Adds its pictures and notes to `result`."""

    def __init__(self, material: MtlMaterial, pictures: Mapping[str, bytes], result: Translated) -> None:
        self._material = material
        self._maps = material.maps
        self._pictures = pictures
        self._result = result

    def gltf_material(self) -> Json:
        mtl, maps = self._material, self._maps
        # If both are given, d counts: some exporters write Tr = d.
        alpha = mtl.opacity if mtl.opacity is not None else 1.0 - (mtl.transparency or 0.0)
        has_color = "map_kd" in maps
        color = mtl.color if mtl.color is not None and not has_color else [1.0, 1.0, 1.0]
        pbr: Json = {"baseColorFactor": [*color, alpha], "metallicFactor": mtl.metalness or 0.0}
        pbr["roughnessFactor"] = mtl.roughness
        material: Json = {"name": mtl.name, "pbrMetallicRoughness": pbr, "doubleSided": True}
        if alpha < 1.0:
            material["alphaMode"] = "BLEND"
        if "map_d" in maps:
            material["alphaMode"] = self._add_opacity(pbr, has_color)
        elif has_color:
            pbr["baseColorTexture"] = self._texture("map_kd")
        if "map_pr" in maps or "map_pm" in maps:
            self._add_metalness_and_roughness(pbr)
        if "map_ke" in maps:
            # Exporters write Ke 0 beside a map, which would make it black.
            material |= {"emissiveTexture": self._texture("map_ke"), "emissiveFactor": [1.0, 1.0, 1.0]}
        elif mtl.emission is not None and max(mtl.emission) > 0:
            material["emissiveFactor"] = mtl.emission
        self._add_normals(material)
        return material

    def _texture(self, keyword: str, title: str = "", content: bytes = b"") -> Json:
        """A textureInfo for the picture of a map, or for `content`, which was made from it."""
        use = self._maps[keyword]
        if not content:
            title = use.picture
            content = _gltf_picture(self._pictures[title], f"{self._material.place}, {title}")
        # Pictures with the same bytes are stored once.
        contents = [known for _, known in self._result.images]
        if content not in contents:
            contents.append(content)
            self._result.images.append((PurePosixPath(title).name, content))
        info: Json = {"index": contents.index(content)}
        if use.scale != (1.0, 1.0) or use.offset != (0.0, 0.0):
            (su, sv), (ou, ov) = use.scale, use.offset
            # The v axis points up in OBJ and down in glTF.
            transform = {"scale": [su, sv], "offset": [ou, 1.0 - sv - ov]}
            info["extensions"] = {TEXTURE_TRANSFORM: transform}
        return info

    def _open(self, keyword: str) -> Image.Image:
        title = self._maps[keyword].picture
        return _opened(self._pictures[title], f"{self._material.place}, {title}")

    def _add_opacity(self, pbr: Json, has_color: bool) -> str:
        """Set a colour texture whose alpha is the opacity picture. Returns the alpha mode."""
        picture = self._open("map_d")
        opacity = picture.getchannel("A") if "A" in picture.getbands() else picture.convert("L")
        color = self._open("map_kd").convert("RGB") if has_color else Image.new("RGB", opacity.size, (255, 255, 255))
        opacity = opacity.resize(color.size) if opacity.size != color.size else opacity
        color.putalpha(opacity)
        keyword = "map_kd" if has_color else "map_d"
        pbr["baseColorTexture"] = self._texture(keyword, f"{self._maps[keyword].picture} with opacity", _png(color))
        counts = opacity.histogram()
        black_or_white = sum(counts[:END_CODES]) + sum(counts[-END_CODES:])
        return "MASK" if black_or_white > CUT_OUT * sum(counts) else "BLEND"

    def _add_metalness_and_roughness(self, pbr: Json) -> None:
        """Pack both into one picture: glTF has roughness in green and metalness in blue."""
        roughness = self._open("map_pr").convert("L") if "map_pr" in self._maps else None
        metalness = self._open("map_pm").convert("L") if "map_pm" in self._maps else None
        size = max((p.size for p in (roughness, metalness) if p is not None), key=lambda s: s[0] * s[1])
        channels = [Image.new("L", size, 255)]
        channels += [Image.new("L", size, 255) if p is None else p.resize(size) for p in (roughness, metalness)]
        packed = _png(Image.merge("RGB", channels))
        keyword = "map_pr" if roughness is not None else "map_pm"
        pbr["metallicRoughnessTexture"] = self._texture(keyword, f"{self._maps[keyword].picture} packed", packed)
        pbr["roughnessFactor"] = 1.0 if roughness is not None else self._material.roughness
        pbr["metallicFactor"] = 1.0 if metalness is not None else pbr["metallicFactor"]

    def _add_normals(self, material: Json) -> None:
        """Set the normal texture, unless the picture is a height map."""
        if "norm" in self._maps:
            material["normalTexture"] = self._texture("norm")
            return
        keyword = next((k for k in ("map_bump", "bump") if k in self._maps), None)
        if keyword is None:
            return
        use = self._maps[keyword]
        mean = self._open(keyword).convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert isinstance(mean, tuple)
        if mean[2] < MIN_BLUE * 255 or max(mean[:2]) > MAX_RED_GREEN * 255:
            self._result.notes.append(f"{use.picture} is left out: it is a height map, which glTF does not have")
            return
        material["normalTexture"] = self._texture(keyword)
        if use.strength != 1.0:
            material["normalTexture"]["scale"] = use.strength


def _gltf_picture(content: bytes, place: str) -> bytes:
    """The picture unchanged if glTF has its format, else as PNG."""
    return content if content.startswith(_GLTF_MAGIC) else _png(_opened(content, place))


def _opened(content: bytes, place: str) -> Image.Image:
    """The pixels of a picture, RGB or RGBA. Raises ModelError if it is too large or cannot be decoded."""
    formats = _GLTF_FORMATS if content.startswith(_GLTF_MAGIC) else _OTHER_FORMATS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=formats) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                return image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ModelError(f"is over {MAX_PIXELS:,} pixels", place=place, remedy="make it smaller") from None
    except (OSError, SyntaxError, ValueError) as error:
        remedy = "save it as PNG or JPEG"
        raise ModelError(f"is not a readable picture: {str(error)[:120]}", place=place, remedy=remedy) from None


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
