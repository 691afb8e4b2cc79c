package org.odllm.demo.home

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.view.Menu
import android.view.MenuItem
import android.widget.Toolbar
import java.io.Closeable
import org.odllm.demo.R
import org.odllm.demo.partsOf
import org.odllm.demo.selftest.SelfTestActivity
import org.odllm.demo.settings.SettingsActivity
import org.odllm.demo.views.showEdgeToEdge

/** The first screen. */
class HomeActivity : Activity() {
    private lateinit var presenter: HomePresenter
    private lateinit var view: HomeView
    private var watching: Closeable? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        presenter = partsOf(this).home
        presenter.enter()
        val screen = resources.configuration
        showEdgeToEdge(layoutOf(HomeLayout.of(screen.screenWidthDp, screen.screenHeightDp, screen.fontScale)))
        findViewById<Toolbar>(R.id.bar).navigationIcon = null
        view = HomeView(this, presenter)
    }

    override fun onStart() {
        super.onStart()
        presenter.start()
        watching = presenter.state.watch(view::render)
    }

    override fun onResume() {
        super.onResume()
        view.search() // by now the system has brought back what was typed
    }

    override fun onStop() {
        watching?.close()
        super.onStop()
    }

    override fun onDestroy() {
        presenter.leave(isFinishing)
        super.onDestroy()
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.home, menu)
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        when (item.itemId) {
            R.id.settings -> startActivity(Intent(this, SettingsActivity::class.java))
            R.id.self_test -> startActivity(Intent(this, SelfTestActivity::class.java))
            else -> return super.onOptionsItemSelected(item)
        }
        return true
    }
}

private fun layoutOf(layout: HomeLayout): Int =
    when (layout) {
        HomeLayout.PANES -> R.layout.home_panes
        HomeLayout.COLUMNS -> R.layout.home_columns
        HomeLayout.STACKED -> R.layout.home_stacked
    }
