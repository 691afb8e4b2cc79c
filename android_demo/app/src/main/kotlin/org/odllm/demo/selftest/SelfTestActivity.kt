package org.odllm.demo.selftest

import android.app.Activity
import android.os.Bundle
import android.widget.Toolbar
import java.io.Closeable
import org.odllm.demo.R
import org.odllm.demo.partsOf
import org.odllm.demo.views.showEdgeToEdge

/** The self-test, and what the app is and keeps. */
class SelfTestActivity : Activity() {
    private lateinit var presenter: SelfTestPresenter
    private lateinit var view: SelfTestView
    private var watching: Closeable? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        presenter = partsOf(this).selfTest
        showEdgeToEdge(R.layout.self_test)
        findViewById<Toolbar>(R.id.bar).setNavigationOnClickListener { finish() }
        view = SelfTestView(this, presenter)
    }

    override fun onStart() {
        super.onStart()
        presenter.start()
        watching = presenter.state.watch(view::render)
    }

    override fun onStop() {
        watching?.close()
        if (!isChangingConfigurations) presenter.stop()
        super.onStop()
    }
}
