package android.widget;

import android.content.Context;
import java.util.List;

public class ArrayAdapter<T> extends BaseAdapter {
    public ArrayAdapter(Context p0, int p1, List<T> p2) {
        throw new RuntimeException();
    }

    public void setDropDownViewResource(int p0) {
        throw new RuntimeException();
    }
}
