package org.odllm.demo.views

import android.app.Activity
import android.content.Context
import android.os.Build
import android.view.View
import android.view.WindowInsets
import android.view.accessibility.AccessibilityNodeInfo
import android.view.accessibility.AccessibilityNodeInfo.AccessibilityAction
import android.view.inputmethod.InputMethodManager
import android.widget.Toolbar
import org.odllm.demo.R

/** Draw a screen from edge to edge, as API 35 wants it, with all content clear of bars, cut-outs and keyboard. */
fun Activity.showEdgeToEdge(layout: Int) {
    setContentView(layout)
    setActionBar(findViewById<Toolbar>(R.id.bar))
    if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return // the system keeps windows clear of them
    @Suppress("DEPRECATION") // from API 35 on it is so anyway
    window.setDecorFitsSystemWindows(false)
    val kinds = WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout() or WindowInsets.Type.ime()
    findViewById<View>(R.id.root).setOnApplyWindowInsetsListener { root, insets ->
        val taken = insets.getInsets(kinds)
        root.setPadding(taken.left, taken.top, taken.right, taken.bottom)
        WindowInsets.CONSUMED
    }
}

/** Have a screen reader say what a tap does. */
fun View.sayOnTap(label: String) {
    setAccessibilityDelegate(
        object : View.AccessibilityDelegate() {
            override fun onInitializeAccessibilityNodeInfo(host: View, info: AccessibilityNodeInfo) {
                super.onInitializeAccessibilityNodeInfo(host, info)
                info.addAction(AccessibilityAction(AccessibilityNodeInfo.ACTION_CLICK, label))
            }
        },
    )
}

/** Take the keyboard away from a text field. */
fun View.hideKeyboard() {
    val keyboard = context.getSystemService(Context.INPUT_METHOD_SERVICE) as InputMethodManager
    keyboard.hideSoftInputFromWindow(windowToken, 0)
}

/** Show a view or leave no room for it. */
fun View.showIf(isShown: Boolean) {
    visibility = if (isShown) View.VISIBLE else View.GONE
}
