package org.odllm.demo.work

import java.util.Locale

/** What a number counts; the screen has a word for each. */
enum class Measure { MILLISECONDS, SECONDS, BYTES, KIBIBYTES, MEBIBYTES, GIBIBYTES }

/** A number as people read it. */
data class Figure(val amount: String, val unit: Measure)

/**
 * Rounds numbers to what people read.
 *
 * @param locale says how numbers are written.
 */
class Figures(private val locale: Locale = Locale.getDefault()) {
    /** Return a time. */
    fun time(millis: Double): Figure = when {
        millis >= 999.5 -> Figure(decimal(millis / 1000, 1), Measure.SECONDS)
        millis >= 9.95 -> Figure(decimal(millis, 0), Measure.MILLISECONDS)
        else -> Figure(decimal(millis, 1), Measure.MILLISECONDS)
    }

    /** Return a size. */
    fun size(bytes: Long): Figure {
        var amount = bytes.toDouble()
        var step = 0
        while (amount >= STEP && step < SIZES.lastIndex) {
            amount /= STEP
            step++
        }
        return Figure(decimal(amount, if (step == 0 || amount >= 9.95) 0 else 1), SIZES[step])
    }

    /** Return a share in per cent, or null where it is too small to be written. */
    fun percent(share: Double): String? = if (share >= 0.001) decimal(share * 100, 1) else null

    private fun decimal(value: Double, digits: Int) = String.format(locale, "%.${digits}f", value)
}

private const val STEP = 1024.0
private val SIZES = listOf(Measure.BYTES, Measure.KIBIBYTES, Measure.MEBIBYTES, Measure.GIBIBYTES)
