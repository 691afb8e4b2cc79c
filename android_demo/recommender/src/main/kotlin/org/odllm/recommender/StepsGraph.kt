package org.odllm.recommender

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtSession
import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.nio.IntBuffer

/**
 * One of the two graphs of form `steps`, with buffers for all inputs and outputs: a run allocates nothing of size.
 *
 * @param session the opened graph; closed with this.
 * @param columns keys and values that both graphs read.
 * @property rows tokens of a run.
 * @property width numbers of the head's logits, a row.
 * @param isPrefill whether it is the prompt's, which returns the logits of one row only.
 */
internal class StepsGraph(
    private val session: OrtSession,
    private val columns: StepsColumns,
    val rows: Int,
    val width: Int,
    isPrefill: Boolean,
) : Closeable {
    private val lineSize = columns.columns + rows

    /** What of the columns and of the run one token sees, as it goes into the mask. */
    val line: FloatArray = FloatArray(lineSize)
    private val ids = numbers(rows)
    private val positions = numbers(rows)
    private val mask = numbers(rows * lineSize)
    private val last = numbers(1)
    private val scores = numbers((if (isPrefill) 1 else rows) * width)
    private val tensors = ArrayList<OnnxTensor>()
    private val inputs = LinkedHashMap<String, OnnxTensor>()
    private val outputs = LinkedHashMap<String, OnnxTensor>()
    private val idsView: IntBuffer = ids.asIntBuffer()
    private val positionsView: IntBuffer = positions.asIntBuffer()
    private val maskView: FloatBuffer = mask.asFloatBuffer()
    private val lastView: IntBuffer = last.asIntBuffer()

    /** `[1, 1 or rows, width]` of the last run: of the row that was asked for, or of all rows. */
    val logits: FloatBuffer = scores.asFloatBuffer()

    /** `[1, heads, rows, head size]` of the last run: keys and values, layer by layer. */
    val fresh: List<ByteBuffer> = columns.names.map { numbers(columns.heads * rows * columns.headSize) }

    init {
        try {
            bind(isPrefill)
        } catch (error: Throwable) {
            free()
            throw error
        }
    }

    /** Sets the token of a row, where it stands in the prompt, and what of the columns it sees, which [see] writes. */
    inline fun token(row: Int, id: Int, position: Int, see: (line: FloatArray) -> Unit) {
        see(line)
        put(row, id, position)
    }

    /** Makes the rows from [row] on the same as the one before them: nothing in rows that nobody reads is unusual. */
    fun repeat(row: Int) {
        for (spare in row until rows) put(spare, idsView[row - 1], positionsView[row - 1])
    }

    /** Writes a row whose sight stands in [line]; part of [token]. */
    fun put(row: Int, id: Int, position: Int) {
        idsView.put(row, id)
        positionsView.put(row, position)
        maskView.window(row * lineSize, (row + 1) * lineSize)
        maskView.put(line)
    }

    /** Runs all rows; of the prompt's graph, [lastRow] is the row whose logits are read. */
    fun run(lastRow: Int, options: OrtSession.RunOptions?) {
        lastView.put(0, lastRow)
        session.run(inputs, emptySet<String>(), outputs, options).close()
    }

    fun endProfiling(): String = session.endProfiling()

    override fun close() {
        session.close()
        free()
    }

    private fun free() = tensors.forEach { it.close() }

    private fun bind(isPrefill: Boolean) {
        val (tokens, all) = rows.toLong() to columns.columns.toLong()
        inputs["ids"] = tensor(ids, OnnxJavaType.INT32, 1, tokens)
        inputs["positions"] = tensor(positions, OnnxJavaType.INT32, 1, tokens)
        inputs["mask"] = tensor(mask, OnnxJavaType.FLOAT, 1, 1, tokens, all + tokens)
        if (isPrefill) inputs["last"] = tensor(last, OnnxJavaType.INT32, 1)
        outputs["logits"] = tensor(scores, OnnxJavaType.FLOAT, 1, if (isPrefill) 1 else tokens, width.toLong())
        val (heads, size) = columns.heads.toLong() to columns.headSize.toLong()
        columns.names.forEachIndexed { index, name ->
            inputs[name] = tensor(columns.buffers[index], OnnxJavaType.FLOAT, 1, heads, all, size)
            outputs["new_$name"] = tensor(fresh[index], OnnxJavaType.FLOAT, 1, heads, tokens, size)
        }
    }

    private fun tensor(buffer: ByteBuffer, type: OnnxJavaType, vararg shape: Long): OnnxTensor =
        Tensors.of(buffer, shape, type).also { tensors += it }

    private companion object {
        /** Returns room for numbers of 32 bits. */
        fun numbers(count: Int): ByteBuffer = Tensors.buffer(count * Float.SIZE_BYTES)
    }
}
