package android.content;

import android.content.pm.PackageManager;
import android.content.res.AssetManager;
import android.content.res.Resources;
import java.io.File;

public abstract class Context {
    public static final String ACTIVITY_SERVICE = "activity";
    public static final String INPUT_METHOD_SERVICE = "input_method";

    public Context() {
        throw new RuntimeException();
    }

    public abstract AssetManager getAssets();

    public abstract Resources getResources();

    public abstract PackageManager getPackageManager();

    public abstract ContentResolver getContentResolver();

    public abstract Context getApplicationContext();

    public final int getColor(int p0) {
        throw new RuntimeException();
    }

    public abstract String getPackageName();

    public abstract File getFilesDir();

    public abstract File getNoBackupFilesDir();

    public abstract File getExternalFilesDir(String p0);

    public abstract void startActivity(Intent p0);

    public abstract Object getSystemService(String p0);
}
