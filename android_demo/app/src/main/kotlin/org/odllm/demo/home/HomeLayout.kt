package org.odllm.demo.home

private const val WIDE_DP = 600
private const val HIGH_DP = 640
private const val SHORT_DP = 480

/** How the first screen is arranged. */
enum class HomeLayout {
    /** Items above, what comes next below; each scrolls by itself. */
    PANES,

    /** Items on one side, what comes next on the other. */
    COLUMNS,

    /** One below the other, in one page that scrolls. */
    STACKED,
    ;

    companion object {
        /** Return the arrangement for a screen: large letters make it small. */
        fun of(widthDp: Int, heightDp: Int, fontScale: Float): HomeLayout {
            val scale = fontScale.coerceAtLeast(1f)
            return when {
                widthDp / scale >= WIDE_DP -> COLUMNS
                heightDp / scale >= HIGH_DP -> PANES
                else -> STACKED
            }
        }

        /** Whether panes are so short, most likely for the keyboard, that only one has room. */
        fun isShort(heightDp: Int, fontScale: Float): Boolean = heightDp / fontScale.coerceAtLeast(1f) < SHORT_DP
    }
}
