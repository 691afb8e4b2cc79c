package org.odllm.demo.settings

import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner

/**
 * A drop-down list of values.
 *
 * @param words of a value.
 * @param chosen hears another choice of the user's.
 */
class Choices<T : Any>(
    private val spinner: Spinner,
    private val words: (T) -> String,
    private val chosen: (T) -> Unit,
) : AdapterView.OnItemSelectedListener {
    private var values: List<T> = emptyList()
    private var current: T? = null

    init {
        spinner.onItemSelectedListener = this
    }

    /** Show the values and which one holds. */
    fun show(next: List<T>, value: T, isEnabled: Boolean) {
        current = value
        if (next != values) {
            values = next
            val adapter = ArrayAdapter(spinner.context, android.R.layout.simple_spinner_item, next.map(words))
            adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
            spinner.adapter = adapter
        }
        val place = values.indexOf(value)
        if (place >= 0 && spinner.selectedItemPosition != place) spinner.setSelection(place)
        spinner.isEnabled = isEnabled
    }

    override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
        val value = values.getOrNull(position) ?: return
        if (value != current) chosen(value) // showing a value is heard here, too
    }

    override fun onNothingSelected(parent: AdapterView<*>?) = Unit
}
