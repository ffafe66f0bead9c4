/** Which elements are in sight: what is not seen is not drawn. One observer for all of them. */

type Told = (visible: boolean) => void

const told = new WeakMap<Element, Told>()
let observer: IntersectionObserver | null = null

/** Be told when an element comes into sight or leaves it. Returns how to end it. */
export function watchSight(element: Element, listener: Told): () => void {
  observer ??= new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) told.get(target)?.(isIntersecting)
    },
    { rootMargin: '200px' },
  )
  told.set(element, listener)
  observer.observe(element)
  return () => {
    told.delete(element)
    observer?.unobserve(element)
  }
}
