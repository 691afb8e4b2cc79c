package org.odllm.recommender

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import java.io.Closeable
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.LongBuffer

/** Tensors over memory outside the heap: nothing is copied, and the runtime does not write to its inputs. */
internal object Tensors {
    /** Returns a buffer that the runtime can read; one without bytes has an address, too. */
    fun buffer(bytes: Int): ByteBuffer {
        val buffer = ByteBuffer.allocateDirect(maxOf(bytes, Long.SIZE_BYTES)).order(ByteOrder.nativeOrder())
        (buffer as Buffer).limit(bytes)
        return buffer
    }

    /** Returns a tensor of the buffer from its position to its limit; the tensor keeps the buffer. */
    fun of(buffer: ByteBuffer, shape: LongArray, type: OnnxJavaType): OnnxTensor =
        OnnxTensor.createTensor(RecommenderRuntime.environment, buffer, shape, type)
}

/**
 * An int64 input of one axis whose length changes: one buffer, which grows, and one tensor a length that it has had.
 */
internal class RowsInput(private var capacity: Int) : Closeable {
    private var bytes = Tensors.buffer(Long.SIZE_BYTES * capacity)
    private var rows: LongBuffer = bytes.asLongBuffer()
    private val tensors = HashMap<Int, OnnxTensor>()

    /** Returns a tensor of the rows from a place on; it holds them until the next call. */
    fun of(values: LongArray, from: Int = 0): OnnxTensor {
        val length = values.size - from
        if (length > capacity) grow(maxOf(length, 2 * capacity))
        (rows as Buffer).clear()
        rows.put(values, from, length)
        if (tensors.size > MOST_KEPT) clear()
        return tensors.getOrPut(length) { tensor(length) }
    }

    override fun close() = clear()

    private fun tensor(length: Int): OnnxTensor {
        val used = bytes.duplicate().order(ByteOrder.nativeOrder())
        (used as Buffer).limit(Long.SIZE_BYTES * length)
        return Tensors.of(used, longArrayOf(length.toLong()), OnnxJavaType.INT64)
    }

    private fun grow(needed: Int) {
        clear()
        bytes = Tensors.buffer(Long.SIZE_BYTES * needed) // first, because it may not fit the memory
        rows = bytes.asLongBuffer()
        capacity = needed
    }

    private fun clear() {
        tensors.values.forEach { it.close() }
        tensors.clear()
    }

    private companion object {
        const val MOST_KEPT = 64
    }
}
