"""Rows that measure the machine itself, in the same rounds as the others: what no row can be faster than."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mobile_bench.baselines.flops import Work

_NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.float32))


class ProductRunner:
    """Square matrix products by ONNX Runtime: as fast as this machine multiplies.

    Of a size that stays in the cache: 256 to 768 rows run alike, 1024 are slower.

    Args:
        integer: multiply 8-bit integers as `int8-dynamic` bundles do, instead of float32.
    """

    SIZE, TIMES = 512, 8

    def __init__(self, integer: bool) -> None:
        import onnxruntime

        self.integer = integer
        model = product_model(integer, self.SIZE)
        # The runtime's own options, not a bundle's: those ask for kernels that are exact on every processor, and for
        # integers the fastest kernels are to be measured.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options)
        random = np.random.default_rng(1)
        shape = (self.SIZE, self.SIZE)
        self.x: NDArray[np.uint8] | NDArray[np.float32] = (
            random.integers(0, 256, shape, np.uint8) if integer else random.standard_normal(shape, np.float32)
        )

    def ranked(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Multiply; there is no list."""
        for _ in range(self.TIMES):
            self.session.run(None, {"x": self.x})
        return _NOTHING

    def work(self, number: int) -> Work:
        """Return the operations of the products; memory is not what they wait for."""
        return Work(products=self.TIMES * 2.0 * self.SIZE**3, integer=self.integer)


class MemoryRunner:
    """Reads far more than any cache holds, in order: as fast as one thread gets weights out of memory.

    Reading, because weights are read: copies of the same size move some 20 % fewer bytes a second.
    """

    BYTES = 1 << 28

    def __init__(self) -> None:
        self.block = np.random.default_rng(0).standard_normal(self.BYTES // 4, np.float32)

    def ranked(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Read everything once; there is no list."""
        self.block.max()
        return _NOTHING

    def work(self, number: int) -> Work:
        """Return the bytes that were read."""
        return Work(weight_bytes=float(self.BYTES))


def product_model(integer: bool, size: int) -> bytes:
    """Return an ONNX graph: `y` is `x` `[size, size]` times random weights `w`.

    Integers are unsigned around 128 times signed ones: the kernel for 8 bits that is fast.
    """
    import onnx
    from onnx import TensorProto

    random = np.random.default_rng(0)
    if integer:
        constants = {"w": random.integers(-127, 128, (size, size), np.int8), "middle": np.array(128, np.uint8)}
        node = onnx.helper.make_node("MatMulInteger", ["x", "w", "middle"], ["y"])
        taken, given = TensorProto.UINT8, TensorProto.INT32
    else:
        constants = {"w": random.standard_normal((size, size), np.float32)}
        node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
        taken, given = TensorProto.FLOAT, TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "product",
        [onnx.helper.make_tensor_value_info("x", taken, [size, size])],
        [onnx.helper.make_tensor_value_info("y", given, [size, size])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=10)
    serialized: bytes = model.SerializeToString()
    return serialized
