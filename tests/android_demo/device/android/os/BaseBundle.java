package android.os;

import java.util.Map;
import java.util.TreeMap;

public class BaseBundle {
    private final Map<String, Object> values = new TreeMap<>();

    public String getString(String name) {
        return (String) values.get(name);
    }

    public void putString(String name, String value) {
        values.put(name, value);
    }

    public void putInt(String name, int value) {
        values.put(name, value);
    }

    @Override
    public String toString() {
        return values.toString();
    }
}
