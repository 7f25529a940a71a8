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
    A = T.match_buffer(a, ({depth},), "{left}", offset_factor=1)
    B = T.match_buffer(b, ({shape}), "{right}", offset_factor=1)
    C = T.match_buffer(c, ({lanes},), "{result}", offset_factor=1)
    with T.sblock("root"):
        T.reads(C[0:{lanes}], {reads})
        T.writes(C[0:{lanes}])
"""
_DESCRIPTION = """        for i, k in T.grid({lanes}, {depth}):
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
    """``C[i] += sum over k of A[k] * B[k // group, i, k % group]`` with ``C`` in one vector register.

    Attributes:
        left: dtype of ``A``: ``steps * group`` elements that every lane multiplies by.
        right: dtype of ``B``: in each step ``group`` elements for each lane, which lie behind one another.
        lanes: Elements of the register, int32 or float32.
        swapped: Whether the program multiplies ``B`` by ``A``.
        steps: Instructions that add to the register; more than one for bytes of one signedness, whose correction is then made once.
    """

    left: str
    right: str
    lanes: int
    swapped: bool
    steps: int = 1

    @property
    def group(self) -> int:
        """Elements that one lane sums in a step: 32 bits of them."""
        return lane_group(self.left)

    @property
    def result(self) -> str:
        """Dtype of ``C``."""
        return "float32" if self.left == "bfloat16" else "int32"

    @property
    def name(self) -> str:
        """The name of the intrinsic."""
        types = "".join(_SHORT[dtype] for dtype in (self.left, self.right, self.result))
        return f"dot_{types}_{self.lanes}x{self.group * self.steps}{'_swapped' if self.swapped else ''}"

    def source(self) -> tuple[str, str]:
        """Return description and implementation as TVMScript."""
        depth, steps = self.group * self.steps, [self.steps] if self.steps > 1 else []
        place = f"vk // {self.group}, vi, vk % {self.group}" if steps else "vi, vk"
        product = [f'T.Cast("{self.result}", A[vk])', f'T.Cast("{self.result}", B[{place}])']
        values: dict[str, object] = {"depth": depth, "lanes": self.lanes, "left": self.left, "right": self.right, "result": self.result}
        shape = [*steps, self.lanes, self.group]
        values["shape"] = ", ".join(map(str, shape))
        reads = [f"A[0:{depth}]", f"B[{', '.join(f'0:{n}' for n in shape)}]"]
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
        held = f"C[T.ramp(T.int32(0), 1, {self.lanes})]"
        if self.left == "bfloat16":
            places = "A.data, A.elem_offset, B.data, B.elem_offset"
            return f'T.call_pure_extern("float32x{self.lanes}", "{BFLOAT_DOT.format(self.lanes)}", {held}, {places})'
        if self.group == 2:
            return self._call("vpdpwssd", held, self._left(0, "int16"), self._right(0))
        return self._bytes(held)

    def _bytes(self, held: str) -> str:
        total = self.group * self.lanes
        turned = f"T.broadcast({_TURNED}, {total})"  # as uint8 it is 128, as int8 -128
        least = f'T.reinterpret("int8x{total}", {turned})'
        correction = f"T.broadcast(0, {self.lanes})"
        for step in range(self.steps):
            a, b = self._left(step, self.left), self._right(step)
            if (self.left, self.right) == ("uint8", "int8"):
                held = self._call("vpdpbusd", held, a, b)
            elif (self.left, self.right) == ("int8", "uint8"):
                held = self._call("vpdpbusd", held, b, a)
            elif self.left == "int8":  # (x + 128) * y - 128 * y
                held = self._call("vpdpbusd", held, self._left(step, "uint8", turned=True), b)
                correction = self._call("vpdpbusd", correction, turned, b)
            else:  # x * (y - 128) - x * -128
                held = self._call("vpdpbusd", held, a, f'T.reinterpret("int8x{total}", T.bitwise_xor({b}, {turned}))')
                correction = self._call("vpdpbusd", correction, a, least)
        return f"{held} - {correction}" if self.left == self.right else held

    def _call(self, instruction: str, start: str, x: str, y: str) -> str:
        name = f"llvm.x86.avx512.{instruction}.{32 * self.lanes}"
        return f'T.call_llvm_pure_intrin("int32x{self.lanes}", "{name}", {start}, {x}, {y})'

    def _left(self, step: int, dtype: str, turned: bool = False) -> str:
        """Return a step's word of the left operand in every lane."""
        word = f'T.reinterpret("int32", A[T.ramp(T.int32({step * self.group}), 1, {self.group})])'
        if turned:  # before it is spread: LLVM 22 never comes back from the code of some shuffles of bytes that were turned
            word = f"T.bitwise_xor({word}, {_TURNED_WORD})"
        return f'T.reinterpret("{dtype}x{self.group * self.lanes}", T.broadcast({word}, {self.lanes}))'

    def _right(self, step: int) -> str:
        place = f"[{step}, 0, 0]" if self.steps > 1 else "[0, 0]"
        return f'B.vload({place}, dtype="{self.right}x{self.group * self.lanes}")'

    def _function(self) -> str:
        """Return the function that holds the instruction, in LLVM's text."""
        instruction = f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}"
        return _BFLOAT_TEXT.format(
            lanes=self.lanes, total=self.group * self.lanes, name=BFLOAT_DOT.format(self.lanes), instruction=instruction
        )


def lane_group(dtype: str) -> int:
    """Return how many elements of a narrow type one lane of 32 bits holds."""
    return 4 if dtype.endswith("8") else 2


STEPS = (16, 8, 4, 2, 1)
"""Instructions in one dot product of bytes of one signedness: the correction is subtracted once for all of them."""

DOT_PRODUCTS: dict[str, DotProduct] = {
    dot.name: dot
    for lanes in (8, 16)
    for left, right in (
        *(("uint8", "int8"), ("int8", "uint8"), ("int8", "int8"), ("uint8", "uint8")),
        *(("int16", "int16"), ("bfloat16", "bfloat16")),
    )
    for swapped in (False, True)
    for steps in (STEPS if left == right and left.endswith("8") else (1,))
    for dot in [DotProduct(left, right, lanes, swapped, steps)]
}
"""Every dot product by its intrinsic's name."""
