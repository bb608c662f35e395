"""Text as MySQL and MariaDB store it, by character set. (pure)

What a byte means is taken from the servers' own conversions to utf8mb4, which now and then differ from the codecs
of the same name. Bytes that mean nothing in their character set become U+FFFD.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, TypeAlias

Decoder: TypeAlias = Callable[[bytes], str]

BINARY: Final = 63
"""The collation of binary strings."""

UTF8: Final = frozenset({"utf8mb4", "utf8mb3", "utf8"})
"""Character sets that are UTF-8 as they are."""

_COLLATIONS: Final[Mapping[str, str]] = {
    # character set: ids of its collations, those of MariaDB included (1024 and more)
    "armscii8": "32 64 1056 1088", "ascii": "11 65 1035 1089", "big5": "1 84 1025 1108", "binary": "63",
    "cp1250": "26 34 44 66 99 1050 1090", "cp1251": "14 23 50-52 1074-1075", "cp1256": "57 67 1081 1091",
    "cp1257": "29 58-59 1082-1083", "cp850": "4 80 1028 1104", "cp852": "40 81 1064 1105",
    "cp866": "36 68 1060 1092", "cp932": "95-96 1119-1120", "dec8": "3 69 1027 1093",
    "eucjpms": "97-98 1121-1122", "euckr": "19 85 1043 1109", "gb18030": "248-250",
    "gb2312": "24 86 1048 1110", "gbk": "28 87 1052 1111", "geostd8": "92-93 1116-1117",
    "greek": "25 70 1049 1094", "hebrew": "16 71 1040 1095", "hp8": "6 72 1030 1096",
    "keybcs2": "37 73 1061 1097", "koi8r": "7 74 1031 1098", "koi8u": "22 75 1046 1099",
    "latin1": "5 8 15 31 47-49 94 1032 1071", "latin2": "2 9 21 27 77 1033 1101",
    "latin5": "30 78 1054 1102", "latin7": "20 41-42 79 1065 1103", "macce": "38 43 1062 1067",
    "macroman": "39 53 1063 1077", "sjis": "13 88 1037 1112", "swe7": "10 82 1034 1106",
    "tis620": "18 89 1042 1113", "ucs2": "35 90 128-151 159 640-642 1059 1114 1152 1174 2560-2727 2744-2759",
    "ujis": "12 91 1036 1115", "utf16": "54-55 101-124 672-674 1078-1079 1125 1147 2816-2983 3000-3015",
    "utf16le": "56 62 1080 1086", "utf32": "60-61 160-183 736-738 1084-1085 1184 1206 3072-3239 3256-3271",
    "utf8mb3": "33 76 83 192-215 223 576-578 1057 1107 1216 1238 2048-2215 2232-2247",
    "utf8mb4": "45-46 224-247 255-323 608-610 1069-1070 1248 1270 2304-2471 2488-2503",
}  # fmt: skip

_CODECS: Final[Mapping[str, str]] = {
    "ascii": "ascii", "big5": "big5", "binary": "latin-1", "cp1250": "cp1250", "cp1251": "cp1251",
    "cp1256": "cp1256", "cp1257": "cp1257", "cp850": "cp850", "cp852": "cp852", "cp932": "cp932", "euckr": "cp949",
    "gb18030": "gb18030", "gb2312": "gb2312", "gbk": "gbk", "hp8": "hp_roman8", "koi8r": "koi8_r",
    "latin2": "iso8859_2", "latin5": "iso8859_9", "latin7": "iso8859_13", "macce": "mac_latin2",
    "macroman": "mac_roman", "sjis": "shift_jis", "ucs2": "utf-16-be", "utf16": "utf-16-be",
    "utf16le": "utf-16-le", "utf32": "utf-32-be", "utf8": "utf-8", "utf8mb3": "utf-8", "utf8mb4": "utf-8",
}  # fmt: skip

_NOTHING: Final = "\ufffd"
_TABLES: Final[Mapping[str, tuple[str, Mapping[int, str]]]] = {
    # character set: the nearest codec, and the texts from some bytes on that differ from it
    "armscii8": ("latin-1", {
        0xA1: "❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸըԹթԺժԻիԼլԽխԾծԿկՀհՁ"
        "ձՂղՃճՄմՅյՆնՇշՈոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'",
    }),
    "cp866": ("cp866", {0xFC: "ⁿ²"}),
    "dec8": ("latin-1", {
        0xA4: _NOTHING, 0xA6: _NOTHING, 0xA8: "¤", 0xAC: _NOTHING * 4, 0xB4: _NOTHING, 0xB8: _NOTHING, 0xBE: _NOTHING,
        0xD0: _NOTHING, 0xD7: "Œ", 0xDD: "Ÿ" + _NOTHING, 0xF0: _NOTHING, 0xF7: "œ", 0xFD: "ÿ" + 2 * _NOTHING,
    }),
    "geostd8": ("cp1252", {
        0x8A: _NOTHING, 0x8C: _NOTHING, 0x8E: _NOTHING, 0x98: 3 * _NOTHING, 0x9C: _NOTHING, 0x9E: 2 * _NOTHING,
        0xC0: "აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ",
        0xE6: 23 * _NOTHING + "№" + 2 * _NOTHING,
    }),
    "greek": ("iso8859_7", {0xA1: "ʽʼ", 0xA4: 2 * _NOTHING, 0xAA: _NOTHING}),
    "hebrew": ("iso8859_8", {0xAF: "‾", 0xFD: "\u200e\u200f"}),
    "keybcs2": ("cp437", {0x80: "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ"}),
    "koi8u": ("koi8_u", {0x95: "•"}),
    "latin1": ("cp1252", {0x81: "\x81", 0x8D: "\x8d", 0x8F: "\x8f\x90", 0x9D: "\x9d"}),
    "swe7": ("ascii", {0x40: "É", 0x5B: "ÄÖÅÜ", 0x60: "é", 0x7B: "äöåü"}),
    "tis620": ("tis-620", {}),
}  # fmt: skip

_IBM_KANJI: Final = (
    "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ＇＂㈱№℡炻仼僴凬匇匤﨎咊坙﨏塚增寬峵嵓"
    "﨑德悅愠敎昻晥晴朗栁﨓﨔橫櫢淸淲瀨凞猪甁皂皞益礰礼神祥福竧靖精綠緖羽荢﨟薰蘒﨡蠇"
    "諸譿賴赶﨣﨤逸郞都鄕﨧﨨閒隆﨩霻靍靑飯飼館馞髙魲鶴黑"
)
"""What eucjpms has at 8F F3 F3 and after."""

_GB18030_2005: Final = {0x1E3F: 0xE7C7, 0xE7C7: 0x1E3F}
"""Two characters that changed places with the standard of 2005."""

_NOT_MICROSOFT: Final = str.maketrans("〜‖−¢£¬¦", "～∥－￠￡￢￤")


def charset_of(collation: int) -> str:
    """The character set of a collation. Raises LookupError for an id that is not known."""
    return _charsets()[collation]


@cache
def _charsets() -> Mapping[int, str]:
    charsets = {}
    for charset, ranges in _COLLATIONS.items():
        for part in ranges.split():
            first, _, last = part.partition("-")
            charsets.update(dict.fromkeys(range(int(first), int(last or first) + 1), charset))
    return charsets


@cache
def decoder(charset: str) -> Decoder:
    """What decodes a column's bytes. Raises LookupError for a character set that is not known."""
    if charset in _TABLES:
        table = _table(*_TABLES[charset])
        return lambda data: codecs.charmap_decode(data, "replace", table)[0]
    if charset == "ujis":
        return _ujis
    if charset == "eucjpms":
        return _eucjpms
    if charset == "big5":
        return lambda data: data.decode("big5", "livetail.big5")
    codec = _CODECS[charset]
    if charset == "sjis":
        return lambda data: data.decode(codec, "replace").replace("＼", "\\")
    if charset == "gb18030":
        return lambda data: data.decode(codec, "replace").translate(_GB18030_2005)
    return lambda data: data.decode(codec, "replace")


def extends_ascii(charset: str) -> bool:
    """Whether bytes below 128 are ASCII wherever all bytes of a value are."""
    return charset not in ("ucs2", "utf16", "utf16le", "utf32", "swe7")


def _table(codec: str, differing: Mapping[int, str]) -> str:
    table = [bytes([byte]).decode(codec, "replace") for byte in range(256)]
    for first, text in differing.items():
        table[first : first + len(text)] = text
    return "".join(table)


def decode_label(label: bytes, collation: int) -> str:
    """A label of an ENUM or SET. Raises LookupError for a collation that is not known."""
    return decoder(charset_of(collation))(label)


def _ujis(data: bytes) -> str:
    return data.decode("euc_jp", "livetail.ujis").replace("＼", "\\")


def _eucjpms(data: bytes) -> str:
    # Its tilde of three bytes is that of two; the codec would make it ASCII's.
    text = data.replace(b"\x8f\xa2\xb7", b"\xa1\xc1").decode("euc_jp", "livetail.eucjpms")
    return text.translate(_NOT_MICROSOFT)


def _handler(meaning: Callable[[bytes], str | None]) -> Callable[[UnicodeError], tuple[str, int]]:
    """An error handler for bytes that a codec does not know: 3 or 2 of them may have a meaning."""

    def handle(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        size = 3 if error.object[error.start] == 0x8F else 2
        unknown = error.object[error.start : error.start + size]
        text = meaning(unknown) if len(unknown) == size else None
        return (_NOTHING, error.end) if text is None else (text, error.start + size)

    return handle


def _beyond_big5(data: bytes) -> str | None:
    return data.decode("cp950") if b"\xf9\xd6" <= data <= b"\xf9\xdc" else None


def _beyond_ujis(data: bytes) -> str | None:
    """What users define: 940 characters of two bytes, as many of three."""
    first, second = data[-2], data[-1]
    if not 0xF5 <= first <= 0xFE or not 0xA1 <= second <= 0xFE:
        return None
    return chr((0xE3AC if len(data) == 3 else 0xE000) + (first - 0xF5) * 94 + second - 0xA1)


def _beyond_eucjpms(data: bytes) -> str | None:
    first, second = data[-2], data[-1]
    if not 0xA1 <= second <= 0xFE:
        return None
    place = (first - 0xF3) * 94 + second - 0xF3
    if len(data) == 3 and 0 <= place < len(_IBM_KANJI):
        return _IBM_KANJI[place]
    if len(data) == 2 and first == 0xAD:  # NEC's row 13, which cp932 has too
        shift_jis = bytes([0x87, second - (0x61 if second < 0xE0 else 0x60)])
        return shift_jis.decode("cp932", "ignore") or None
    return _beyond_ujis(data)


codecs.register_error("livetail.big5", _handler(_beyond_big5))
codecs.register_error("livetail.ujis", _handler(_beyond_ujis))
codecs.register_error("livetail.eucjpms", _handler(_beyond_eucjpms))
