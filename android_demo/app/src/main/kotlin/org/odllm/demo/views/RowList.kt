package org.odllm.demo.views

import android.content.Context
import android.os.Parcelable
import android.util.AttributeSet
import android.util.SparseArray
import android.view.LayoutInflater
import android.view.View
import android.widget.LinearLayout

/** A short list whose rows stay while what they show changes: a tap moves neither focus nor scroll. */
class RowList @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) :
    LinearLayout(context, attributes) {

    /** Show `items`, one view of `layout` each. */
    fun <T> show(items: List<T>, layout: Int, bind: (row: View, item: T, index: Int) -> Unit) {
        if (childCount > items.size) removeViews(items.size, childCount - items.size)
        while (childCount < items.size) addView(LayoutInflater.from(context).inflate(layout, this, false))
        items.forEachIndexed { index, item -> bind(getChildAt(index), item, index) }
    }

    // What rows show comes from the state; by their ids, which repeat, each would be given the last one's.
    override fun dispatchSaveInstanceState(container: SparseArray<Parcelable>) = dispatchFreezeSelfOnly(container)

    override fun dispatchRestoreInstanceState(container: SparseArray<Parcelable>) = dispatchThawSelfOnly(container)
}
