"""The primitives of ``s_tir.Schedule`` as a table: parameters, results, and one line on when each is legal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a parameter takes."""

    BLOCK = "block"
    LOOP = "loop"
    BLOCK_OR_LOOP = "block or loop"
    LOOPS = "loops"
    LOOP_OR_BLOCKS = "loop or blocks"
    BLOCKS = "blocks"
    FACTORS = "factors"
    BUFFER = "buffer"
    INT = "int"
    INTS = "ints"
    NUMBERS = "numbers"
    BOOL = "bool"
    STR = "str"
    INDEX_MAP = "index map"
    PAD = "pad value"
    ANY = "any"


class Result(Enum):
    """What a primitive returns."""

    NONE = "nothing"
    BLOCK = "a block"
    BLOCKS = "blocks"
    LOOP = "a loop"
    LOOPS = "loops"
    NUMBER = "a number"
    NUMBERS = "numbers"


class _Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a primitive; ``variadic`` ones take all positional arguments."""

    name: str
    kind: Kind
    default: object = REQUIRED
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class Primitive:
    """A schedule primitive.

    Attributes:
        name: The method of ``s_tir.Schedule``.
        parameters: In the method's order.
        result: What it returns.
        rule: When it is legal and what it does, for people and models.
    """

    name: str
    parameters: tuple[Parameter, ...]
    result: Result
    rule: str


def _p(name: str, kind: Kind, default: object = REQUIRED, variadic: bool = False) -> Parameter:
    return Parameter(name, kind, default, variadic)


_BLOCK, _LOOP, _EITHER = _p("block", Kind.BLOCK), _p("loop", Kind.LOOP), _p("block_or_loop", Kind.BLOCK_OR_LOOP)
_UNIT_ITERS, _UNIT_LOOPS = _p("preserve_unit_iters", Kind.BOOL, True), _p("preserve_unit_loops", Kind.BOOL, False)
_READ, _WRITE, _SCOPE = _p("read_buffer_index", Kind.BUFFER), _p("write_buffer_index", Kind.BUFFER), _p("storage_scope", Kind.STR)
_CONSUMERS = _p("consumer_blocks", Kind.BLOCKS, None)
_AT = (_BLOCK, _LOOP, _UNIT_LOOPS, _p("index", Kind.INT, -1))

PRIMITIVES: dict[str, Primitive] = {
    p.name: p
    for p in (
        # Names
        Primitive("get_sblock", (_p("name", Kind.STR), _p("func_name", Kind.STR, None)), Result.BLOCK, "names a block"),
        Primitive("get_loops", (_BLOCK,), Result.LOOPS, "names the loops above a block, outermost first"),
        Primitive("get_child_blocks", (_EITHER,), Result.BLOCKS, "names the blocks right below"),
        Primitive("get_producers", (_BLOCK,), Result.BLOCKS, "names the blocks whose results a block reads"),
        Primitive("get_consumers", (_BLOCK,), Result.BLOCKS, "names the blocks that read a block's result"),
        Primitive("get_output_blocks", (_p("scope_block", Kind.BLOCK),), Result.BLOCKS, "names the blocks that write the function's outputs"),
        # Sampling
        Primitive("sample_perfect_tile", (_LOOP, _p("n", Kind.INT), _p("max_innermost_factor", Kind.INT, 16), _p("decision", Kind.INTS, None)), Result.NUMBERS, "draws n factors whose product is the loop's extent"),
        Primitive("sample_partitioned_tile", (_LOOP, _p("n", Kind.INT), _p("partition_pos", Kind.INT, 0), _p("innerpart_factor", Kind.INT, 1), _p("decision", Kind.INTS, None)), Result.NUMBERS, "as sample_perfect_tile; the product of the last factors is a multiple of innerpart_factor"),
        Primitive("sample_categorical", (_p("candidates", Kind.INTS), _p("probs", Kind.NUMBERS), _p("decision", Kind.INT, None)), Result.NUMBER, "draws one of the candidates"),
        Primitive("sample_compute_location", (_BLOCK, _p("decision", Kind.INT, None)), Result.LOOP, "draws a loop for compute_at"),
        # Loops
        Primitive("split", (_LOOP, _p("factors", Kind.FACTORS), _UNIT_ITERS, _p("disable_predication", Kind.BOOL, False)), Result.LOOPS, "splits a loop, outermost factor first; one factor may be None (inferred); a product above the extent adds a guard"),
        Primitive("loop_partition", (_LOOP, _p("factors", Kind.FACTORS), _UNIT_ITERS), Result.LOOPS, "cuts a loop's range into consecutive parts"),
        Primitive("fuse", (_p("loops", Kind.LOOPS, variadic=True), _UNIT_ITERS), Result.LOOP, "fuses loops that follow one another directly, outermost first"),
        Primitive("merge", (_p("loops", Kind.LOOPS, variadic=True),), Result.LOOP, "merges loops of one extent under one parent"),
        Primitive("reorder", (_p("ordered_loops", Kind.LOOPS, variadic=True),), Result.NONE, "puts loops of one nest in this order; the places they take are those they have together"),
        Primitive("reorder_block_iter_var", (_BLOCK, _p("new_order", Kind.INTS)), Result.NONE, "permutes a block's iterators"),
        Primitive("add_unit_loop", (_EITHER,), Result.LOOP, "puts a loop of extent 1 above"),
        # Marks on loops
        Primitive("parallel", (_LOOP,), Result.NONE, "runs a loop on all cores; every block below must be complete, and the loop spatial; one per nest"),
        Primitive("vectorize", (_LOOP,), Result.NONE, "turns a loop into vector lanes; it must be innermost, spatial, its accesses contiguous to pay; before decompose_reduction"),
        Primitive("unroll", (_LOOP,), Result.NONE, "repeats a loop's body; keep the product of unrolled extents small"),
        Primitive("bind", (_LOOP, _p("thread_axis", Kind.STR)), Result.NONE, 'binds a spatial loop to "blockIdx.x" … "threadIdx.z"; a reduction loop to "threadIdx.x" becomes a cross-thread reduction; each axis once per nest'),
        # Stages
        Primitive("cache_read", (_BLOCK, _READ, _SCOPE, _CONSUMERS), Result.BLOCK, "stages an operand through a new buffer in a scope; returns the copying block, which compute_at then places"),
        Primitive("cache_write", (_BLOCK, _WRITE, _SCOPE, _CONSUMERS), Result.BLOCK, "lets a block write into a scope first; returns the copying-out block, which reverse_compute_at then places"),
        Primitive("cache_inplace", (_BLOCK, _p("read_buffer_index", Kind.BUFFER), _SCOPE), Result.BLOCKS, "stages an operand that is updated in place"),
        Primitive("cache_index", (_BLOCK, _SCOPE, _p("cse_thresh", Kind.INT, 0)), Result.BLOCKS, "precomputes index expressions"),
        Primitive("reindex", (_BLOCK, _p("buffer", Kind.BUFFER)), Result.BLOCK, "copies an operand into a layout that follows the block's iterators"),
        Primitive("reindex_cache_read", (_BLOCK, _p("read_buffer_index", Kind.INT), _SCOPE, _p("index_map", Kind.INDEX_MAP)), Result.BLOCK, "cache_read with a layout"),
        Primitive("reindex_cache_write", (_BLOCK, _p("write_buffer_index", Kind.INT), _SCOPE, _p("index_map", Kind.INDEX_MAP)), Result.BLOCK, "cache_write with a layout"),
        Primitive("read_at", (_LOOP, _BLOCK, _p("read_buffer_index", Kind.INT), _SCOPE), Result.BLOCK, "stages an operand at a loop"),
        Primitive("write_at", (_LOOP, _BLOCK, _p("write_buffer_index", Kind.INT), _SCOPE), Result.BLOCK, "stages a result at a loop"),
        Primitive("compute_at", _AT, Result.NONE, "moves a producer under a loop of its consumer; it regenerates the producer's loops, so place first, split after"),
        Primitive("reverse_compute_at", _AT, Result.NONE, "moves a consumer under a loop of its producer; likewise"),
        Primitive("compute_inline", (_BLOCK,), Result.NONE, "puts a producer's expression into its readers; not for reductions or outputs"),
        Primitive("reverse_compute_inline", (_BLOCK,), Result.NONE, "puts an elementwise consumer into its only producer"),
        Primitive("fuse_reduction_epilogue", (_p("reduction_block", Kind.BLOCK), _p("epilogue_block", Kind.BLOCK)), Result.NONE, "puts an epilogue into a reduction's initial value"),
        # Reductions
        Primitive("decompose_reduction", (_BLOCK, _LOOP), Result.BLOCK, "moves a reduction's initialization above a loop, the outermost reduction loop or one above it; after vectorize, parallel and bind; returns the initializing block"),
        Primitive("rfactor", (_LOOP, _p("factor_axis", Kind.INT)), Result.BLOCK, "makes a reduction loop spatial in a new partial result; before compute_at; + * max min only"),
        Primitive("pad_einsum", (_BLOCK, _p("padding", Kind.INTS)), Result.NONE, "pads a contraction's iterators to multiples"),
        Primitive("decompose_padding", (_BLOCK, _LOOP), Result.BLOCK, "splits a padding block into fill and copy"),
        Primitive("rolling_buffer", (_BLOCK, _p("write_buffer_index", Kind.INT)), Result.NONE, "keeps only the live window of a producer"),
        # Layout and scope
        Primitive("set_scope", (_BLOCK, _p("buffer_index", Kind.BUFFER), _SCOPE), Result.NONE, 'puts an intermediate into a scope: "global", "shared", "local"'),
        Primitive("storage_align", (_BLOCK, _p("buffer_index", Kind.INT), _p("axis", Kind.INT), _p("factor", Kind.INT), _p("offset", Kind.INT)), Result.NONE, "makes an axis' stride factor*n + offset, against bank conflicts"),
        Primitive("transform_layout", (_BLOCK, _p("buffer", Kind.BUFFER), _p("index_map", Kind.INDEX_MAP), _p("pad_value", Kind.PAD, None), _p("assume_injective_transform", Kind.BOOL, False)), Result.NONE, "changes the layout of an intermediate"),
        Primitive("transform_block_layout", (_BLOCK, _p("index_map", Kind.INDEX_MAP)), Result.NONE, "changes a block's iterators"),
        Primitive("unsafe_set_dtype", (_BLOCK, _p("buffer_index", Kind.INT), _p("dtype", Kind.STR)), Result.NONE, "changes an intermediate's element type; changes results"),
        # Hardware
        Primitive("blockize", (_p("target", Kind.LOOP_OR_BLOCKS), _UNIT_ITERS), Result.BLOCK, "makes the nest below a loop one block"),
        Primitive("tensorize", (_EITHER, _p("tensor_intrin", Kind.STR), _UNIT_ITERS), Result.NONE, "replaces the nest below by a tensor intrinsic of the same shape; after decompose_reduction"),
        Primitive("annotate", (_EITHER, _p("ann_key", Kind.STR), _p("ann_val", Kind.ANY)), Result.NONE, "attaches a note that a pass reads: software_pipeline_stage, pragma_auto_unroll_max_step …"),
        Primitive("unannotate", (_EITHER, _p("ann_key", Kind.STR)), Result.NONE, "takes a note away"),
        Primitive("unsafe_hide_buffer_access", (_BLOCK, _p("buf_type", Kind.STR), _p("buf_index_array", Kind.INTS)), Result.NONE, "hides accesses from dependence analysis"),
        Primitive("enter_postproc", (), Result.NONE, "marks where postprocessing begins in a trace"),
        Primitive("work_on", (_p("func_name", Kind.STR),), Result.NONE, "chooses the function"),
    )
}  # fmt: skip

BUILDING = frozenset(PRIMITIVES) - {
    "get_sblock", "get_loops", "get_child_blocks", "get_producers", "get_consumers", "get_output_blocks", "enter_postproc", "work_on",
}  # fmt: skip
"""The primitives that change a schedule or draw a number; the others only give names."""

NOT_OFFERED = frozenset(
    {"unsafe_set_dtype", "unsafe_hide_buffer_access", "transform_block_layout", "cache_inplace", "cache_index", "rolling_buffer"}
)
"""Primitives that models are not offered, and that are not taken from them: they change results, or make ill-formed programs in TVM 0.27."""

UNROLLS = "pragma_auto_unroll_max_step"
"""The note on a loop of how many steps below it TVM unrolls at most."""

ANNOTATIONS = frozenset(
    {
        "software_pipeline_stage", "software_pipeline_order", "software_pipeline_async_stages", "double_buffer_scope",
        UNROLLS, "pragma_unroll_explicit", "bang.unit", "bang.ahead",
    }
)  # fmt: skip
"""Notes that are taken from models. Others are not: ``pragma_import_c`` and its like put foreign code into the build."""
