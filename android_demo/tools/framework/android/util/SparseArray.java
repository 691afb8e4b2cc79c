package android.util;

public class SparseArray<E> implements Cloneable {
    public SparseArray() {
        throw new RuntimeException();
    }
}
