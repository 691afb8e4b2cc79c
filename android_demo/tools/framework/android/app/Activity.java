package android.app;

import android.content.ComponentCallbacks2;
import android.content.Intent;
import android.content.res.Configuration;
import android.os.Bundle;
import android.view.ContextThemeWrapper;
import android.view.Menu;
import android.view.MenuInflater;
import android.view.MenuItem;
import android.view.View;
import android.view.Window;
import android.widget.Toolbar;

public class Activity extends ContextThemeWrapper implements ComponentCallbacks2 {
    public static final int RESULT_CANCELED = 0;
    public static final int RESULT_OK = -1;

    public Activity() {
        throw new RuntimeException();
    }

    public Window getWindow() {
        throw new RuntimeException();
    }

    protected void onCreate(Bundle p0) {
        throw new RuntimeException();
    }

    protected void onStart() {
        throw new RuntimeException();
    }

    protected void onResume() {
        throw new RuntimeException();
    }

    protected void onStop() {
        throw new RuntimeException();
    }

    protected void onDestroy() {
        throw new RuntimeException();
    }

    public void onConfigurationChanged(Configuration p0) {
        throw new RuntimeException();
    }

    public void onLowMemory() {
        throw new RuntimeException();
    }

    public void onTrimMemory(int p0) {
        throw new RuntimeException();
    }

    public <T extends View> T findViewById(int p0) {
        throw new RuntimeException();
    }

    public void setActionBar(Toolbar p0) {
        throw new RuntimeException();
    }

    public void setContentView(int p0) {
        throw new RuntimeException();
    }

    public boolean onCreateOptionsMenu(Menu p0) {
        throw new RuntimeException();
    }

    public boolean onOptionsItemSelected(MenuItem p0) {
        throw new RuntimeException();
    }

    public MenuInflater getMenuInflater() {
        throw new RuntimeException();
    }

    public void startActivityForResult(Intent p0, int p1) {
        throw new RuntimeException();
    }

    public boolean isFinishing() {
        throw new RuntimeException();
    }

    public boolean isChangingConfigurations() {
        throw new RuntimeException();
    }

    public void finish() {
        throw new RuntimeException();
    }

    protected void onActivityResult(int p0, int p1, Intent p2) {
        throw new RuntimeException();
    }
}
