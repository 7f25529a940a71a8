"""Dot products of narrow numbers on x86 as tensor intrinsics: ``vpdpbusd`` and ``vpdpwssd``, whatever the signs of the bytes; ``vdpbf16ps``.

TVM's own ``dot_16x4_vnni`` does not compile with its LLVM 22, where the operands are vectors of bytes, and takes one choice of signs.
TVM computes bfloat16 as float, and holds arrays of its own as float, too, unless their address is taken; that instruction is therefore
called by a function in LLVM's own text, which loads its operands itself.
Source: Intel 64 and IA-32 Architectures Software Developer's Manual, VPDPBUSD, VPDPWSSD, VDPBF16PS.
"""

from __future__ import annotations

from dataclasses import dataclass

_HEAD = """@T.prim_func(s_tir=True)
def {role}(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, ({group},), "{left}", offset_factor=1)
    B = T.match_buffer(b, ({lanes}, {group}), "{right}", offset_factor=1)
    C = T.match_buffer(c, ({lanes},), "{result}", offset_factor=1)
    with T.sblock("root"):
        T.reads(C[0:{lanes}], {reads})
        T.writes(C[0:{lanes}])
"""
_DESCRIPTION = """        for i, k in T.grid({lanes}, {group}):
            with T.sblock("dot"):
                vi, vk = T.axis.remap("SR", [i, k])
                C[vi] = C[vi] + {product}
"""
_SHORT = {"int8": "s8", "uint8": "u8", "int16": "s16", "bfloat16": "bf16", "int32": "s32", "float32": "f32"}
BFLOAT_DOT = "tvm_xpiler_dpbf16_{}"
"""Name of the function that multiplies and adds pairs of bfloat16; what stands in it is the number of lanes."""
_BFLOAT_TEXT = """
define internal <{lanes} x float> @{name}(<{lanes} x float> %c, ptr %a, i32 %i, ptr %b, i32 %j) alwaysinline nounwind {{
  %left = getelementptr bfloat, ptr %a, i32 %i
  %pair = load i32, ptr %left, align 2
  %one = insertelement <{lanes} x i32> poison, i32 %pair, i32 0
  %all = shufflevector <{lanes} x i32> %one, <{lanes} x i32> poison, <{lanes} x i32> zeroinitializer
  %x = bitcast <{lanes} x i32> %all to <{total} x bfloat>
  %right = getelementptr bfloat, ptr %b, i32 %j
  %y = load <{total} x bfloat>, ptr %right, align 2
  %r = call <{lanes} x float> @{instruction}(<{lanes} x float> %c, <{total} x bfloat> %x, <{total} x bfloat> %y)
  ret <{lanes} x float> %r
}}
declare <{lanes} x float> @{instruction}(<{lanes} x float>, <{total} x bfloat>, <{total} x bfloat>)
"""
_TURNED_WORD = "T.int32(-2139062144)"  # four bytes of 128
_TURNED = "T.uint8(128)"  # xor with it turns a byte x of one signedness into x + 128 or x - 128 of the other


@dataclass(frozen=True, slots=True)
class DotProduct:
    """``C[i] += sum over k of A[k] * B[i, k]`` with ``C`` in one vector register.

    Attributes:
        left: dtype of ``A``: ``group`` elements that every lane multiplies by.
        right: dtype of ``B``: ``group`` elements for each lane, which lie behind one another.
        lanes: Elements of the register, int32 or float32.
        swapped: Whether the program multiplies ``B`` by ``A``.
    """

    left: str
    right: str
    lanes: int
    swapped: bool

    @property
    def group(self) -> int:
        """Elements that one lane sums: 32 bits of them."""
        return 4 if self.left.endswith("8") else 2

    @property
    def result(self) -> str:
        """Dtype of ``C``."""
        return "float32" if self.left == "bfloat16" else "int32"

    @property
    def name(self) -> str:
        """The name of the intrinsic."""
        types = "".join(_SHORT[dtype] for dtype in (self.left, self.right, self.result))
        return f"dot_{types}_{self.lanes}x{self.group}{'_swapped' if self.swapped else ''}"

    def source(self) -> tuple[str, str]:
        """Return description and implementation as TVMScript."""
        product = [f'T.Cast("{self.result}", A[vk])', f'T.Cast("{self.result}", B[vi, vk])']
        values = {"group": self.group, "lanes": self.lanes, "left": self.left, "right": self.right, "result": self.result}
        reads = [f"A[0:{self.group}]", f"B[0:{self.lanes}, 0:{self.group}]"]
        values["reads"] = ", ".join(reversed(reads) if self.swapped else reads)  # TVM compares them in order
        values["product"] = " * ".join(reversed(product) if self.swapped else product)
        result = f"        C[T.ramp(T.int32(0), 1, {self.lanes})] = {self._sum()}\n"
        if self.left == "bfloat16":
            result = f'        with T.attr(T.int32(0), "pragma_import_llvm", """{self._function()}"""):\n    {result}'
        return (
            _HEAD.format(role="description", **values) + _DESCRIPTION.format(**values),
            _HEAD.format(role="implementation", **values) + result,
        )

    def _sum(self) -> str:
        total, bits = self.group * self.lanes, 32 * self.lanes
        held = f"C[T.ramp(T.int32(0), 1, {self.lanes})]"
        word = f'T.reinterpret("int32", A[T.ramp(T.int32(0), 1, {self.group})])'
        a = f'T.reinterpret("{{}}x{total}", T.broadcast({word}, {self.lanes}))'
        b = f'B.vload([0, 0], dtype="{self.right}x{total}")'

        def call(instruction: str, start: str, x: str, y: str) -> str:
            return f'T.call_llvm_pure_intrin("int32x{self.lanes}", "llvm.x86.avx512.{instruction}.{bits}", {start}, {x}, {y})'

        if self.left == "bfloat16":
            places = "A.data, A.elem_offset, B.data, B.elem_offset"
            return f'T.call_pure_extern("float32x{self.lanes}", "{BFLOAT_DOT.format(self.lanes)}", {held}, {places})'
        if self.group == 2:
            return call("vpdpwssd", held, a.format("int16"), b)
        signed, zero = f"int8x{total}", f"T.broadcast(0, {self.lanes})"
        turned = f"T.broadcast({_TURNED}, {total})"  # as uint8 it is 128, as int8 -128
        least = f'T.reinterpret("{signed}", {turned})'
        if (self.left, self.right) == ("uint8", "int8"):
            return call("vpdpbusd", held, a.format("uint8"), b)
        if (self.left, self.right) == ("int8", "uint8"):
            return call("vpdpbusd", held, b, a.format("int8"))
        if self.left == "int8":  # (x + 128) * y - 128 * y
            # the word before it is spread: LLVM 22 never comes back from the code of some shuffles of bytes that were turned
            flipped = f'T.reinterpret("uint8x{total}", T.broadcast(T.bitwise_xor({word}, {_TURNED_WORD}), {self.lanes}))'
            return f"{call('vpdpbusd', held, flipped, b)} - {call('vpdpbusd', zero, turned, b)}"
        flipped = f'T.reinterpret("{signed}", T.bitwise_xor({b}, {turned}))'  # x * (y - 128) - x * -128
        return f"{call('vpdpbusd', held, a.format('uint8'), flipped)} - {call('vpdpbusd', zero, a.format('uint8'), least)}"

    def _function(self) -> str:
        """Return the function that holds the instruction, in LLVM's text."""
        instruction = f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}"
        return _BFLOAT_TEXT.format(
            lanes=self.lanes, total=self.group * self.lanes, name=BFLOAT_DOT.format(self.lanes), instruction=instruction
        )


DOT_PRODUCTS: dict[str, DotProduct] = {
    dot.name: dot
    for lanes in (8, 16)
    for left, right in (
        *(("uint8", "int8"), ("int8", "uint8"), ("int8", "int8"), ("uint8", "uint8")),
        *(("int16", "int16"), ("bfloat16", "bfloat16")),
    )
    for swapped in (False, True)
    for dot in [DotProduct(left, right, lanes, swapped)]
}
"""Every dot product by its intrinsic's name."""
