package android.content;

import android.content.pm.PackageManager;
import android.content.res.AssetManager;
import android.content.res.Resources;
import java.io.File;

public class ContextWrapper extends Context {
    public ContextWrapper(Context p0) {
        throw new RuntimeException();
    }

    public AssetManager getAssets() {
        throw new RuntimeException();
    }

    public Resources getResources() {
        throw new RuntimeException();
    }

    public PackageManager getPackageManager() {
        throw new RuntimeException();
    }

    public ContentResolver getContentResolver() {
        throw new RuntimeException();
    }

    public Context getApplicationContext() {
        throw new RuntimeException();
    }

    public String getPackageName() {
        throw new RuntimeException();
    }

    public File getFilesDir() {
        throw new RuntimeException();
    }

    public File getNoBackupFilesDir() {
        throw new RuntimeException();
    }

    public File getExternalFilesDir(String p0) {
        throw new RuntimeException();
    }

    public void startActivity(Intent p0) {
        throw new RuntimeException();
    }

    public Object getSystemService(String p0) {
        throw new RuntimeException();
    }
}
