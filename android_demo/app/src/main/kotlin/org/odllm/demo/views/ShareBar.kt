package org.odllm.demo.views

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import org.odllm.demo.R

/** A bar as long as a share; it only repeats what is written beside it. */
class ShareBar @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) :
    View(context, attributes) {

    private val filled = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.accent) }
    private val empty = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.line) }

    /** Its length, 0 to 1. */
    var fill: Float = 0f
        set(value) {
            field = value
            invalidate()
        }

    init {
        importantForAccessibility = IMPORTANT_FOR_ACCESSIBILITY_NO
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        draw(canvas, 1f, empty)
        draw(canvas, fill, filled)
    }

    private fun draw(canvas: Canvas, share: Float, paint: Paint) {
        val length = width * share
        val start = if (layoutDirection == LAYOUT_DIRECTION_RTL) width - length else 0f
        val radius = height / 2f
        canvas.drawRoundRect(start, 0f, start + length, height.toFloat(), radius, radius, paint)
    }
}
