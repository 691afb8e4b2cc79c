package org.odllm.demo.home

import android.view.View
import org.odllm.demo.views.showIf

/** Take a pane away while the keyboard leaves no room for two. */
fun giveWay(root: View, pane: View) {
    root.addOnLayoutChangeListener { _, _, top, _, bottom, _, _, _, _ ->
        val room = bottom - top - root.paddingTop - root.paddingBottom
        val scale = root.resources.displayMetrics.density
        val isShort = HomeLayout.isShort((room / scale).toInt(), root.resources.configuration.fontScale)
        root.post { pane.showIf(!isShort) } // a layout that runs cannot be changed
    }
}
