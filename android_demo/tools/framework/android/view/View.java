package android.view;

import android.content.Context;
import android.content.res.Resources;
import android.graphics.Canvas;
import android.os.IBinder;
import android.os.Parcelable;
import android.util.AttributeSet;
import android.util.SparseArray;
import android.view.accessibility.AccessibilityNodeInfo;

public class View {
    public static final int GONE = 8;
    public static final int IMPORTANT_FOR_ACCESSIBILITY_NO = 2;
    public static final int LAYOUT_DIRECTION_RTL = 1;
    public static final int VISIBLE = 0;

    public View(Context p0, AttributeSet p1) {
        throw new RuntimeException();
    }

    public void addOnLayoutChangeListener(View.OnLayoutChangeListener p0) {
        throw new RuntimeException();
    }

    public void setOnClickListener(View.OnClickListener p0) {
        throw new RuntimeException();
    }

    public void setOnLongClickListener(View.OnLongClickListener p0) {
        throw new RuntimeException();
    }

    public void setAccessibilityDelegate(View.AccessibilityDelegate p0) {
        throw new RuntimeException();
    }

    public CharSequence getContentDescription() {
        throw new RuntimeException();
    }

    public void setContentDescription(CharSequence p0) {
        throw new RuntimeException();
    }

    public void setOnApplyWindowInsetsListener(View.OnApplyWindowInsetsListener p0) {
        throw new RuntimeException();
    }

    public int getVisibility() {
        throw new RuntimeException();
    }

    public void setVisibility(int p0) {
        throw new RuntimeException();
    }

    public boolean isEnabled() {
        throw new RuntimeException();
    }

    public void setEnabled(boolean p0) {
        throw new RuntimeException();
    }

    public int getLayoutDirection() {
        throw new RuntimeException();
    }

    public int getImportantForAccessibility() {
        throw new RuntimeException();
    }

    public void setImportantForAccessibility(int p0) {
        throw new RuntimeException();
    }

    public final Context getContext() {
        throw new RuntimeException();
    }

    public final int getWidth() {
        throw new RuntimeException();
    }

    public final int getHeight() {
        throw new RuntimeException();
    }

    public void scrollTo(int p0, int p1) {
        throw new RuntimeException();
    }

    public void invalidate() {
        throw new RuntimeException();
    }

    public boolean post(Runnable p0) {
        throw new RuntimeException();
    }

    protected void onDraw(Canvas p0) {
        throw new RuntimeException();
    }

    public IBinder getWindowToken() {
        throw new RuntimeException();
    }

    protected void dispatchSaveInstanceState(SparseArray<Parcelable> p0) {
        throw new RuntimeException();
    }

    protected void dispatchRestoreInstanceState(SparseArray<Parcelable> p0) {
        throw new RuntimeException();
    }

    public Resources getResources() {
        throw new RuntimeException();
    }

    public void setBackgroundResource(int p0) {
        throw new RuntimeException();
    }

    public void setPadding(int p0, int p1, int p2, int p3) {
        throw new RuntimeException();
    }

    public int getPaddingTop() {
        throw new RuntimeException();
    }

    public int getPaddingBottom() {
        throw new RuntimeException();
    }

    public final <T extends View> T findViewById(int p0) {
        throw new RuntimeException();
    }

    public interface OnClickListener {
        void onClick(View p0);
    }

    public interface OnLongClickListener {
        boolean onLongClick(View p0);
    }

    public interface OnLayoutChangeListener {
        void onLayoutChange(View p0, int p1, int p2, int p3, int p4, int p5, int p6, int p7, int p8);
    }

    public interface OnApplyWindowInsetsListener {
        WindowInsets onApplyWindowInsets(View p0, WindowInsets p1);
    }

    public static class AccessibilityDelegate {
        public AccessibilityDelegate() {
            throw new RuntimeException();
        }

        public void onInitializeAccessibilityNodeInfo(View p0, AccessibilityNodeInfo p1) {
            throw new RuntimeException();
        }
    }
}
